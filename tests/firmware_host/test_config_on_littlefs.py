"""config.json is replaced on the chip's own file system, with the power cut at every operation."""

import json
import os
import subprocess
from pathlib import Path

from host_tools.micropython import ROOT, find_micropython, micropython_env

# In MicroPython, whose littlefs is the chip's. Prints how many cuts were tried, by what was found.
SCRIPT = """
import os, json
import tests.support.fake_esp32
from boards.parts.config_file import read_config, write_config
from tests.support.fake_flash import CUT_SHAPES, FakeFlash
class Disk:
    def __init__(self, flash):
        self.ioctl_of = flash.ioctl
        self.readblocks = flash.readblocks
        self.writeblocks = flash.writeblocks
    def ioctl(self, request, argument):
        return 0 if request < 4 else self.ioctl_of(request, argument)  # begin, end, sync
flash = FakeFlash(16)
os.VfsLfs2.mkfs(Disk(flash))
os.mount(os.VfsLfs2(Disk(flash)), "/root")
configs = [{"wifi_name": "n" * length, "number": length} for length in (5, 40, 300, 1200)]
write_config("/root", configs[0])
found = {"old": 0, "new": 0}
for number in range(1, len(configs) * 2):
    old, new = configs[(number - 1) % len(configs)], configs[number % len(configs)]
    forks = []
    flash.before_operation = lambda operation, after: forks.extend(map(after, CUT_SHAPES))
    write_config("/root", new)
    flash.before_operation = None
    assert forks
    for fork in forks:
        os.mount(os.VfsLfs2(Disk(fork)), "/fork")
        config = read_config("/fork")
        assert config in (old, new), (number, config)
        found["new" if config == new else "old"] += 1
        write_config("/fork", {"again": number})
        assert read_config("/fork") == {"again": number}
        os.umount("/fork")
print(json.dumps(found))
"""


def test_a_power_cut_anywhere_leaves_the_old_config_or_the_new_one(tmp_path: Path) -> None:
    script = tmp_path / "cuts.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [str(find_micropython()), "-X", "heapsize=64m", str(script)],
        env={**os.environ, **micropython_env()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["old"] > 50
    assert found["new"] > 5
