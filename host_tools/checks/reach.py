"""Checks whether the gateway is reached and trusted, from this computer and from the meter."""

from __future__ import annotations

import socket
import ssl

from host_tools.checks.case import Case, nonsense
from host_tools.checks.checked import CORRECT, Check, Checked
from host_tools.device import DeviceFailed

CONNECT_WAIT_S = 5.0  # TCP, and as much again for TLS
CA_PATH = "/ca.der"

_CERTIFICATES = {
    "not_our_ca": f"gateway.ca_file is not the CA that signed its certificate: {CORRECT}",
    "other_name": f"gateway.server_name is not a name in its certificate: {CORRECT}",
    "out_of_date": "renew the gateway's certificate (`gateway certs`), or see `clock`",
    "certificate": "look at the gateway's certificate (`gateway certs`)",
    "no_tls": f"gateway.port is not its TLS port, or it has no TLS: {CORRECT}",
    "ca_missing": f"gateway.ca_file is not on the meter: {CORRECT}",
    "ca_damaged": f"what is on the meter of gateway.ca_file is no certificate: {CORRECT}",
}
_TCP = {
    "no_address": "`pair`: its config.json names no gateway",
    "unknown_name": f"nobody knows gateway.host, give its address: {CORRECT}",
    "refused": f"start the gateway; or gateway.port is wrong: {CORRECT}",
    "unreachable": "check network, firewall and address between here and the gateway",
}
GATEWAY = Check(
    "gateway",
    "this computer reaches the gateway that the meter is set to, and trusts it by the meter's CA",
    "TCP connects and, where the meter uses TLS, the handshake succeeds with its ca.der",
    _TCP | _CERTIFICATES,
)
UPLINK = Check(
    "uplink",
    "the meter itself reaches its gateway, over its own network and with its own clock",
    "TCP connects and, where it uses TLS, the handshake succeeds with its ca.der",
    {
        **_TCP,
        **_CERTIFICATES,
        "unreachable": "see `rssi` and `gateway`: if both are good, a firewall keeps the meter out",
        "memory": "press reset (EN) and run it again: too little memory is left for TLS",
        "not_started": "start the meter (EN), wait half a minute, and run it again",
    },
)


def gateway(case: Case) -> Checked:
    """From here. The verdict on the certificate is this computer's, with the meter's trust."""
    host, port, where = _address(case)
    if not host:
        return GATEWAY.bad("no_address", "config.json names no gateway")
    tls = bool(case.facts.config.get("tls"))
    context = None
    if tls:
        try:
            context = _context(case.device.read_file(CA_PATH))
        except DeviceFailed:
            return GATEWAY.bad("ca_missing", f"{where} wants TLS, and there is no {CA_PATH}")
        except (ssl.SSLError, ValueError):
            return GATEWAY.bad("ca_damaged", f"{CA_PATH} is no certificate in DER")
    began = case.clock()
    try:
        line = case.dial(host, port, CONNECT_WAIT_S)
        with line:
            if context is not None:
                line.settimeout(CONNECT_WAIT_S)
                with context.wrap_socket(line, server_hostname=_name(case)) as sealed:
                    told = f"{where}, {sealed.version()}"
            else:
                told = f"{where}, without TLS"
    except OSError as error:
        cause = _cause_of(error)
        return GATEWAY.bad(cause, f"{where}: {_words(error)}", host=host, port=port, tls=tls)
    took_ms = round(1000 * (case.clock() - began))
    return GATEWAY.good(f"{told}, {took_ms} ms", host=host, port=port, tls=tls, took_ms=took_ms)


def _context(ca: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(ca))
    return context


def _address(case: Case) -> tuple[str, int, str]:
    config = case.facts.config
    host, port = config.get("gateway_host"), config.get("gateway_port")
    if not isinstance(host, str) or type(port) is not int:
        return "", 0, ""
    return host, port, f"{host}:{port}"


def _name(case: Case) -> str:
    config = case.facts.config
    return str(config.get("server_name") or config["gateway_host"])


# X509_verify_cert(3): of OpenSSL's numbers those that say which of our causes it is.
_BY_CODE = {
    **dict.fromkeys((7, 18, 19, 20, 21), "not_our_ca"),
    **dict.fromkeys((9, 10), "out_of_date"),
    **dict.fromkeys((62, 64), "other_name"),
}


def _cause_of(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_CODE.get(error.verify_code, "certificate")
    if isinstance(error, ssl.SSLError):
        return "no_tls"
    if isinstance(error, socket.gaierror):
        return "unknown_name"
    return "refused" if isinstance(error, ConnectionRefusedError) else "unreachable"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError):
        return "it does not speak TLS there"
    return error.strerror or ("it does not answer" if isinstance(error, TimeoutError) else "failed")


# As boards/parts/mqtt_link.py does it, but that a chip without the time is not lifted over it.
_UPLINK = """
import gc,json,socket
gc.collect()
v=''
s=None
try:
 try:
  a=socket.getaddrinfo(HOST,PORT)[0][-1]
 except (OSError,IndexError):
  a=None
  v='unknown_name'
 if a:
  s=socket.socket()
  s.settimeout(WAIT_S)
  s.connect(a)
  v='up'
  if TLS:
   import ssl
   v='ca_missing'
   with open(CA_PATH,'rb') as x:
    d=x.read()
   v='ca_damaged'
   c=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
   c.verify_mode=ssl.CERT_REQUIRED
   c.load_verify_locations(cadata=d)
   v='no_tls'
   s=c.wrap_socket(s,server_hostname=NAME)
   v='up'
except MemoryError:
 v='memory'
except ValueError as e:
 if v=='no_tls':
  e=str(e)
  v='certificate'
  for w,k in WORDS:
   if w in e:
    v=k
    break
except OSError as e:
 if v=='no_tls' and e.args[0]==VERIFY_FAILED:
  v='certificate'
 elif not v:
  v='refused' if e.args[0] in REFUSED else 'unreachable'
if s:
 s.close()
print(json.dumps(v))
"""
# Of mbedtls_x509_crt_verify_info.
_WORDS = (("trusted CA", "not_our_ca"), ("(CN)", "other_name"), ("validity", "out_of_date"))
_VERIFY_FAILED = -0x2700
_REFUSED = (104, 111)  # ECONNRESET: lwIP has it so; ECONNREFUSED
_UPLINK_WORDS = {
    "unknown_name": "it does not find the name",
    "refused": "its connection is refused",
    "unreachable": "it gets no answer",
    "no_tls": "no TLS is spoken there",
    "memory": "it has too little memory for TLS",
}


def uplink(case: Case) -> Checked:
    """From the meter. A handshake while the meter's own session may still be open."""
    host, port, where = _address(case)
    if not host:
        return UPLINK.bad("no_address", "config.json names no gateway")
    if case.facts.profile is not None and not case.ran:
        return UPLINK.unknown("not_started", "the meter's program did not run")
    tls = bool(case.facts.config.get("tls"))
    cause = case.ask(
        _UPLINK, "", 4 * CONNECT_WAIT_S, HOST=host, PORT=port, NAME=_name(case), TLS=tls,
        CA_PATH=CA_PATH, WAIT_S=int(CONNECT_WAIT_S), WORDS=_WORDS, VERIFY_FAILED=_VERIFY_FAILED,
        REFUSED=_REFUSED,
    )  # fmt: skip
    if cause not in (*UPLINK.steps, "up"):
        raise nonsense()
    if cause == "up":
        return UPLINK.good(f"the meter reaches {where}")
    if cause == "memory":
        return UPLINK.unknown(cause, f"{where}: {_UPLINK_WORDS[cause]}")
    said = _UPLINK_WORDS.get(cause, f"it refuses the certificate ({cause})")
    return UPLINK.bad(cause, f"{where}: {said}")
