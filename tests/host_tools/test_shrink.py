"""What is left out of a device's source, and that what is left still says the same."""

import subprocess

from host_tools.bundling.shrink import shrunk
from host_tools.micropython import find_micropython


def shrink(source: str, **others: str) -> str:
    """One file after shrinking it with others of the same room; its main calls for `used`."""
    sources = {f"wire/{name}.py": text for name, text in others.items()}
    sources["wire/it.py"] = source + "\ndef main():\n    used()\n"
    return shrunk(sources).sources["wire/it.py"]


def test_a_named_number_is_written_where_it_is_used_and_its_name_goes() -> None:
    out = shrink("HOUR_S = 3600\nDAY_S = 24 * HOUR_S\ndef used():\n    return -DAY_S + HOUR_S\n")
    assert "return -86400 + 3600" in out
    assert "HOUR_S" not in out
    assert "DAY_S" not in out


def test_a_number_is_written_in_other_files_that_import_it_by_either_way() -> None:
    limits = "TOP = 1 << 20\n"
    again = "from wire.limits import TOP\n"
    out = shrink(
        "from wire import limits\nfrom wire.again import TOP\nfrom wire.limits import TOP as T\n"
        "def used():\n    return TOP, limits.TOP, T\n",
        limits=limits,
        again=again,
    )
    assert out.count("1048576") == 3
    assert "TOP" not in out


def test_a_name_that_changes_or_is_an_argument_or_no_whole_number_stays() -> None:
    source = (
        "A = 1\nB = 2\nC = 1.5\nD = True\nE = len('x')\nF = b'x'\nG = 3\n"
        "def used(B=0):\n    global A\n    A = 5\n    return A + B, C, D, E, F, G, C, D, F\n"
        "G += 1\n"
    )
    out = shrink(source)
    assert "return (A + B, C, D, E, F, G, C, D, F)" in out
    for name in "ABCDEFG":
        assert f"{name} = " in out or f"{name}=" in out


def test_functions_classes_and_values_that_nothing_names_go_with_their_imports() -> None:
    out = shrink(
        "from wire.other import spare, needed\nTABLE = {1: 'x'}\n__all__ = ['used']\n"
        "__all__ += ['more']\ndef dead():\n    return spare(TABLE)\nclass Gone:\n    pass\n"
        "def used():\n    return needed()\n",
        other="def spare():\n    pass\ndef needed():\n    pass\n",
    )
    assert "from wire.other import" in out
    for name in ("spare", "TABLE", "__all__", "dead", "Gone"):
        assert name not in out


def test_what_runs_at_import_stays_and_so_does_what_is_named_in_a_string() -> None:
    out = shrink(
        "def register():\n    pass\nregister()\ndef by_name():\n    pass\n"
        "def used():\n    return globals()['by_name']\nimport sys\n"
    )
    assert "register()" in out
    assert "def by_name" in out
    assert "import sys" in out


def test_methods_that_a_library_python_or_we_may_call_stay_and_others_go() -> None:
    out = shrink(
        "class Socket:\n    def setblocking(self):\n        pass\n    def __len__(self):\n"
        "        return 0\n    def named(self):\n        pass\n"
        "    def called(self):\n        pass\n    async def spare(self):\n        pass\n"
        "def used():\n    getattr(Socket(), 'named')()\n    Socket.called(None)\n"
    )
    for method in ("setblocking", "__len__", "named"):
        assert f"def {method}" in out
    assert out.count("def ") == 6, "the one that is called has a short name now"
    assert "async" not in out


def test_a_class_whose_methods_all_go_is_still_a_class() -> None:
    out = shrink("class Spare:\n    def gone(self):\n        pass\ndef used():\n    Spare()\n")
    assert "gone" not in out
    assert "pass" in out


def test_a_text_or_tuple_that_is_used_once_is_written_there_and_its_name_goes() -> None:
    out = shrink(
        "A = 'text'\nB = (b'x', ('y', -1))\nC = 'twice'\nD = 'told'\nE = ['a', 'list']\n"
        "F = 'both'\n"
        "def used(F=0):\n    return A, B, C, C, D, E, F, globals()['D']\n"
    )
    assert "return ('text', (b'x', ('y', -1)), C, C, D, E, " in out
    for name in "AB":
        assert f"{name} = " not in out
    for name in "CDE":
        assert f"{name} = " in out


def test_a_text_that_another_file_has_stays_where_it_is() -> None:
    sources = {
        "wire/a.py": "A = 'one'\nB = 'two'\nC = 'three'\ndef f():\n    return A, B, C\n",
        "wire/it.py": "from wire import a\nfrom wire.a import B, f\n"
        "def main():\n    return a.A, B, f()\n",
    }
    out = shrunk(sources).sources["wire/a.py"]
    assert out.count(" = ") == 2
    assert "'three')" in out


def test_an_import_that_its_file_does_not_use_goes_unless_another_has_it_from_there() -> None:
    sources = {
        "wire/deep.py": "def f():\n    pass\ndef g():\n    pass\n",
        "wire/door.py": "from wire.deep import f, g\nfrom wire import limits\ndef h(): pass\n",
        "wire/limits.py": "TOP = 3\ndef used(): pass\n",
        "wire/it.py": "from wire import door, limits\n"
        "def main():\n    door.f()\n    door.h()\n    limits.used()\n",
    }
    out = shrunk(sources).sources
    door = out["wire/door.py"]
    assert door.count("import") == 1
    assert "limits" not in door
    assert "limits" in out["wire/it.py"]


def test_the_fields_of_a_namedtuple_become_one_text_that_micropython_takes() -> None:
    source = (
        "from collections import namedtuple\n"
        "Pair = namedtuple('Pair', ('left', 'right'))\nNone_ = namedtuple('None_', ())\n"
        "def main():\n    print(Pair(1, 2).right, Pair(left=3, right=4).left, len(None_()))\n"
    )
    small = shrunk({"wire/it.py": source}).sources["wire/it.py"]
    assert "'left right')" in small
    command = [str(find_micropython()), "-c", small + "\nmain()\n"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"2 3 0\n"


def test_an_import_under_another_name_keeps_what_it_imports() -> None:
    sources = {
        "wire/a.py": "def dumps():\n    pass\n",
        "wire/it.py": "from wire.a import dumps as _dumps\ndef main():\n    _dumps()\n",
    }
    assert "def dumps" in shrunk(sources).sources["wire/a.py"]


def test_branches_of_a_host_and_of_type_checkers_go() -> None:
    out = shrink(
        "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from typing import Any\n"
        "x: 'Any'\ny: 'Any' = used\n"
        "try:\n    import cbor2\n    dumps = cbor2.dumps\n"
        "except ImportError:\n    from wire.small import dumps\n"
        "def used():\n    return dumps(y)\n",
        small="def dumps(value):\n    pass\n",
    )
    assert "typing" not in out
    assert "cbor2" not in out
    assert "from wire.small import dumps" in out
    assert "y = " in out


def test_a_shrunk_program_prints_what_it_printed_before() -> None:
    source = (
        "from collections import namedtuple\nK = 7\nM = K * 3\n"
        "Pair = namedtuple('Pair', ('a', 'b'))\n"
        "class Box:\n    K = 9\n    def __init__(self, m=M):\n        self.K = m + K\n"
        "def used():\n    box = Box()\n"
        "    print(K, M, Pair(K, M).b, box.K, Box.K, [M for _ in 'ab'])\n"
        "def main():\n    used()\n"
    )
    printed = []
    for text in (source, shrunk({"wire/it.py": source}).sources["wire/it.py"]):
        command = [str(find_micropython()), "-c", text + "\nmain()\n"]
        printed.append(subprocess.run(command, capture_output=True, check=True).stdout)
    assert printed[0] == printed[1] == b"7 21 21 28 9 [21, 21]\n"


def test_an_error_of_the_wire_keeps_its_name_and_loses_its_text() -> None:
    sources = {
        "wire/errors.py": "class Malformed(Exception):\n    pass\n",
        "wire/it.py": "from wire.errors import Malformed\n"
        "def main():\n    if x:\n        raise ValueError('told')\n"
        "    raise Malformed('cut short')\n",
    }
    out = shrunk(sources).sources["wire/it.py"]
    assert "raise Malformed\n" in out + "\n"
    assert "cut short" not in out
    assert "ValueError('told')" in out


def test_private_names_become_short_ones_the_same_in_every_file_and_others_stay() -> None:
    sources = {
        "wire/box.py": "class Box:\n    def __init__(self):\n"
        "        self._content = self._said = 1\n        self.open = self.__dict__\n",
        "wire/it.py": "from wire.box import Box as _Box\ndef main(_given=0):\n    global _count\n"
        "    _count = _Box()._content + _given\n    return getattr(_Box(), '_said')\n",
    }
    out = shrunk(sources).sources
    box, it = out["wire/box.py"], out["wire/it.py"]
    for name in ("_content", "_given", "_count"):
        assert name not in box + it
    assert "__init__" in box
    assert "__dict__" in box
    assert "self.open" in box
    assert "self._said" in box
    attribute = box.partition("self.")[2].partition(" ")[0]
    assert f"().{attribute} + " in it


def test_names_that_a_library_a_string_a_keyword_a_log_or_the_loader_has_stay() -> None:
    sources = {
        "wire/it.py": "class Broken(ValueError):\n    pass\nclass Flash:\n"
        "    def readblocks(self, found, label=0):\n        self.told = self.spoken = found\n"
        "def choose():\n    pass\ndef main():\n    Flash().readblocks(1, label=2)\n"
        "    choose()\n    getattr(Flash(), 'told')\n    raise Broken('found')\n",
    }
    out = shrunk(sources, (), "def choose():\n    pass\n")
    it = out.sources["wire/it.py"]
    for name in ("Broken", "readblocks", "label", "told", "choose", "main", "self"):
        assert name in it
    for name in ("Flash", "spoken"):
        assert name not in it
    assert "found" not in it.replace("'found'", "")
    assert shrunk(sources, (), "def choose():\n    pass\n") == out
