# ESP32-PoE and ESP32-PoE-ISO: which chip, which of MicroPython's settings, and ours.

set(IDF_TARGET esp32)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    ${SDKCONFIG_IDF_VERSION_SPECIFIC}
)

set(METER_FLASH_SIZE 4MB)
include(${MICROPY_BOARD_DIR}/../meter.cmake)
