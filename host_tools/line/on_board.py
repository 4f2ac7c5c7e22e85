"""The MicroPython code with which host_tools.device handles files on a board."""

# Stock MicroPython of version 1.23 runs each of these. Values are assigned in front: filled().

WATCHDOG_MS = 600_000  # a tool that dies leaves a meter that comes back by itself

# On ESP32 a second WDT sets the first one's time anew (ports/esp32/machine_wdt.c).
CALM_WATCHDOG = f"""
import sys
if 'start' in sys.modules:
 try:
  from machine import WDT
  WDT(timeout={WATCHDOG_MS})
 except (ImportError, OSError, ValueError):
  pass
"""

READ = """
from binascii import b2a_base64 as _b
from hashlib import sha256
_h=sha256()
with open(PATH,'rb') as _f:
 while True:
  _d=_f.read(1536)
  if not _d: break
  _h.update(_d)
  print(str(_b(_d),'utf-8'),end='')
print(str(_b(_h.digest()),'utf-8'),end='')
"""

OPEN = """
import os
from binascii import a2b_base64 as _a
_i=PATH.find('/',1)
while _i>0:
 try:
  os.mkdir(PATH[:_i])
 except OSError as _e:
  if _e.args[0]!=17: raise
 _i=PATH.find('/',_i+1)
_f=open(PATH+'.part','wb')
_w=_f.write
"""

SEAL = """
import os
from hashlib import sha256
_f.close()
_h=sha256()
with open(PATH+'.part','rb') as _f:
 while True:
  _d=_f.read(1024)
  if not _d: break
  _h.update(_d)
if _h.digest()!=DIGEST: raise ValueError('flash does not hold what was written')
os.rename(PATH+'.part',PATH)
"""

HASH = """
from hashlib import sha256
_h=sha256()
try:
 with open(PATH,'rb') as _f:
  while True:
   _d=_f.read(1024)
   if not _d: break
   _h.update(_d)
 print(repr(_h.digest()))
except OSError as _e:
 if _e.args[0]!=2: raise
 print(None)
"""

REMOVE = """
import os
try:
 os.remove(PATH)
except OSError as _e:
 if _e.args[0]!=2: raise
"""

LIST = """
import os
print([(_e[0],_e[1],_e[3] if len(_e)>3 else 0) for _e in os.ilistdir(PATH)])
"""


def filled(code: str, **values: object) -> str:
    """The code behind the assignment of its values: nothing is replaced inside it."""
    return "".join(f"{name}={value!r}\n" for name, value in values.items()) + code
