"""Names that belong to MicroPython and its libraries: what a shrunk bundle must call as they do."""

# From dir() of every module, type and instance of the unix port (1.29), its static strings
# (py/makeqstrdata.py: these cost a byte or two in any .mpy), the documentation of the ESP32 port's
# modules (docs.micropython.org: machine, network, esp32, ssl), and umqtt.simple. Dunder names and
# single letters never get other names, and are not listed.
LIBRARY_NAMES = frozenset(
    """
ADC ADCBlock ADCWiFi AF_INET AF_INET6 AF_UNIX AP_IF ARRAY ATTN_0DB ATTN_11DB ATTN_2_5DB ATTN_6DB
AUTH_OPEN AUTH_WEP AUTH_WPA2_PSK AUTH_WPA3_PSK AUTH_WPA_PSK AUTH_WPA_WPA2_PSK AUTO AbstractNIC Any
ArithmeticError AssertionError AttributeError B1000000 B115200 B1152000 B230400 B460800 B500000
B57600 B576000 B921600 B9600 BFINT16 BFINT32 BFINT8 BFUINT16 BFUINT32 BFUINT8 BF_LEN BF_POS
BIG_ENDIAN BOOT BaseException BytesIO CERT_NONE CERT_OPTIONAL CERT_REQUIRED CancelledError Counter
DAC DECREMENT DEEPSLEEP DEEPSLEEP_RESET DRIVE_0 DRIVE_1 DRIVE_2 DRIVE_3 DeflateIO EACCES
EADDRINUSE EAGAIN EALREADY EBADF ECONNABORTED ECONNREFUSED ECONNRESET EEXIST EHOSTUNREACH
EINPROGRESS EINVAL EIO EISDIR ENOBUFS ENODEV ENOENT ENOMEM ENOTCONN EOFError EOPNOTSUPP EPERM
ETIMEDOUT EXT0_WAKE EXT1_WAKE Ellipsis Encoder Event Exception FLOAT32 FLOAT64 FrameBuffer
FrameBuffer1 GS2_HMSB GS4_HMSB GS8 GZIP GeneratorExit HARD_RESET HEAP_DATA HEAP_EXEC HOLD I2C I2S
IGNORE IN INCREMENT INT INT16 INT32 INT64 INT8 IOBase IOQueue IPPROTO_IP IPPROTO_TCP IPPROTO_UDP
IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP IRQ_FALLING IRQ_HIGH_LEVEL IRQ_LOW_LEVEL IRQ_MAX IRQ_MIN
IRQ_RISING IRQ_THRESHOLD0 IRQ_THRESHOLD1 IRQ_ZERO ImportError IndentationError IndexError KeyError
KeyboardInterrupt LAN LITTLE_ENDIAN LONG LONGLONG Lock LockType LookupError Loop MBEDTLS_VERSION
MONO_HLSB MONO_HMSB MONO_VLSB MQTTClient MQTTException MSG_DONTROUTE MSG_DONTWAIT MSG_PEEK MVLSB
MemoryError NATIVE NVS NameError Newer NoneType NotImplemented NotImplementedError ONE_SHOT
OPEN_DRAIN OSError OUT Opened OrderedDict OverflowError PCNT PERIODIC PHASES PIN_WAKE PM_NONE
PM_PERFORMANCE PM_POWERSAVE POLLERR POLLHUP POLLIN POLLOUT PPP PROTOCOL_DTLS_CLIENT
PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PTR PULL_DOWN PULL_UP PWM PWRON_RESET
Partition Pin PinBase RAW REVERSE RGB565 RMT RTC RUNNING Response RingIO RuntimeError SDCard SHORT
SLEEP SOCK_DGRAM SOCK_RAW SOCK_STREAM SOFT_RESET SOL_SOCKET SO_BROADCAST SO_ERROR SO_KEEPALIVE
SO_LINGER SO_REUSEADDR SPI SSLContext SSLError SSLSocket STAT_ASSOC_FAIL STAT_BEACON_TIMEOUT
STAT_CONNECTING STAT_CONNECT_FAIL STAT_GOT_IP STAT_HANDSHAKE_TIMEOUT STAT_IDLE STAT_NO_AP_FOUND
STAT_WRONG_PASSWORD STA_IF Server Signal SingletonGenerator SoftI2C SoftSPI StopAsyncIteration
StopIteration Stream StreamReader StreamWriter StringIO SyntaxError SystemExit TCP_NODELAY TCSANOW
TIMER_WAKE TOUCHPAD_WAKE TYPE_APP TYPE_DATA Task TaskQueue ThreadSafeFlag TimeoutError Timer
TouchPad TypeError UART UINT UINT16 UINT32 UINT64 UINT8 ULONG ULONGLONG ULP ULP_WAKE USHORT
UnicodeError VOID ValueError VfsFat VfsLfs1 VfsLfs2 VfsPosix VfsRom ViperTypeError WAKEUP_ALL_LOW
WAKEUP_ANY_HIGH WAKE_HIGH WAKE_LOW WDT WDT_RESET WIDTH_10BIT WIDTH_11BIT WIDTH_12BIT WIDTH_9BIT
WLAN ZLIB ZeroDivisionError _Remove _asyncio _attrs _build _check_exists _chunk _dequeue
_download_file _enqueue _ensure_path_exists _exc_context _exc_handler _install_json
_install_package _io_queue _machine _mpy _promote_to_task _recv_len _rewrite_url _run _send_str
_serve _stop_task _stopper _task_queue _thread a2b_base64 abs accept aclose acos acosh acquire
active add addressof aes alarm alarm_left all alloc_emergency_exception_buf allocate_lock
allowed_mip_url_prefixes any append appendleft args argv array asin asinh asm_thumb asm_xtensawin
asyncio atan atan2 atanh atexit atten authmode awrite awritestr b2a_base64 bin binascii bind bits
bitstream blit block block_size bluetooth bool bootloader bssid btree buffer builtins bytearray
bytearray_at bytecode byteorder bytes bytes_at cadata cafile calcsize call_exception_handler
callable callback cancel cb ceil center cert certfile channel chdir check_hostname check_msg
choice chr cipher classmethod clean_session clear client_id clock close cmath collect collections
commit compile complex config connect const content context copy copysign core cos cosh count
country crc32 create_task cryptolib cur_task current_task cycles datetime decode decrypt deepsleep
default_exception_handler deflate degrees deinit delattr delete deleter deque dhcp_hostname dht
dht_readinto dict difference difference_update digest dir disable disable_irq discard disconnect
divmod dns do_handshake_on_connect drain drive dump dumps duty duty_ns duty_u16 edge ellipse
enable enable_irq encode encrypt end endswith enumerate erase_key erf erfc errno errorcode esp
esp32 espnow essid eval event exc_info exec execfile executable exit exp expm1 extend fabs
factorial falling feed ffi fileno fill fill_rect filter find flags float floor flush fmod format
framebuf freq frexp from_bytes fromhex fromkeys frozenset funcs gamma gateway gather gc get
get_blob get_ciphers get_event_loop get_exception_handler get_extra_info get_i32 get_ident
get_next_update getaddrinfo getattr getcwd getenv gethostbyname getpeercert getrandbits getter
getvalue globals gmtime gpio_deep_sleep_hold group hall_sensor handler hard hasattr hash hashlib
head heap_lock heap_unlock heapify heappop heappush heapq help hex hexdigest hexlify hidden hline
hold hostname id idf_heap_info idf_task_info idle ifconfig ilistdir implementation index inet_ntop
inet_pton inf info init input insert install int intersection intersection_update invert io ioctl
ipconfig ipoll irq is_set isalpha isclose isconnected isdigit isdisjoint isenabled isfinite isinf
isinstance islower isnan isspace issubclass issubset issuperset isupper items iter join json
kbd_intr keepalive key keyfile keys label ldexp len lgamma libc_ver lightsleep line list listdir
listen little load load_cert_chain load_verify_locations loads locals localtime lock locked log
log10 log2 lower lstrip lw_msg lw_qos lw_retain lw_topic mac machine main makefile map
mark_app_valid_cancel_rollback marshal match math max maxsize mcu_temperature md5 mem16 mem32 mem8
mem_alloc mem_backup mem_current mem_free mem_info mem_peak mem_total memory memoryview message
micropython min minimum_version mip mkdir mkfs mktime mode mode_high mode_low mode_pin modf modify
module modules mount msg name namedtuple namespace nan native neopixel network new_event_loop
newer_client next note ntptime nvs object oct off older on onewire open open_connection opened
opt_level ord os pack pack_into partition password patch path peek pend_throw period phase
phy_mode pi pid pin ping pixel platform pm polar poll poller poly pop popitem popleft port
position post pow print print_exception property ps1 ps2 pswd publish pull push put putenv
python_compiler qos qstr_info queue_read queue_write radians randint random randrange range
raw_temperature re read read_u16 read_uv readblocks readexactly readinto readline readlines
reconnects rect recv recv_into recvfrom register release remove rename replace repr request
requests reset reset_cause retain reverse reversed rfind rindex rising rmdir rng robust round
rpartition rsplit rssi rstrip run run_forever run_until_complete sample_ns scan schedule scroll
search security seed seek select self send sendall sendto sep server server_hostname server_side
set set_blob set_boot set_callback set_ciphers set_default_verify_paths set_exception_handler
set_i32 set_last_will set_psk setattr setblocking setdefault setraw setsockopt setter settimeout
sha1 sha256 simple sin sinh sizeof sleep sleep_ms sleep_us slice sock sockaddr socket soft_reset
sort sorted split splitlines sqrt ssid ssl ssl_params stack_size stack_use start start_new_thread
start_server startswith stat state staticmethod status statvfs stderr stdin stdout step stop str
stream stream_awrite strip struct sub subscribe subtype sum super symmetric_difference
symmetric_difference_update sys system tan tanh tau tcgetattr tcsetattr tell termios text
threshold threshold0 threshold1 throw ticks ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time
time_ns time_pulse_us timeout tls to_bytes toggle topic trigger trunc tuple txpower type uasyncio
ubinascii ucryptolib uctypes uhashlib ujson umount umqtt uname unhexlify uniform union unique_id
unlink unpack unpack_from unregister unsetenv uos update upper urandom uselect user usocket ussl
ustruct utime value values verify_callback verify_mode version version_info vfs viper vline wait
wait_closed wait_for wait_for_ms wait_io_event wait_msg waiting wake wake_on_ext0 wake_on_ext1
wake_on_gpio wake_on_touch wake_on_ulp wake_reason webrepl websocket width wrap_socket write
writeblocks zip
""".split()  # noqa: SIM905  (a list of a thousand lines is no easier to read)
)
