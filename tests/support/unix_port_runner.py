"""Runs inside MicroPython: calls the named tests of one module and prints a JSON line each."""

# Usage: micropython -m tests.support.unix_port_runner FOLDER MODULE TEST...
# FOLDER is put last on the import path ("" for none). Kept to what MicroPython has.

import gc
import io
import json
import sys
import time

MARK = "\x1eunix-port "  # a control character no test prints by accident


def say(**fields):
    # The line feed first: a test may have printed half a line.
    print("\n" + MARK + json.dumps(fields))


def traceback_of(error):
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()


def run_test(module, name):
    gc.collect()
    begun_ms = time.ticks_ms()
    try:
        getattr(module, name)()
    except BaseException as error:  # a test may raise anything; the next one still runs
        trace = traceback_of(error)
    else:
        trace = ""
    say(test=name, ok=not trace, trace=trace, took_ms=time.ticks_diff(time.ticks_ms(), begun_ms))


def main(folder, module_name, names):
    if folder:
        sys.path.append(folder)
    try:
        __import__(module_name)
    except BaseException as error:
        say(import_failed=traceback_of(error))
        return
    for name in names:
        run_test(sys.modules[module_name], name)


main(sys.argv[1], sys.argv[2], sys.argv[3:])
