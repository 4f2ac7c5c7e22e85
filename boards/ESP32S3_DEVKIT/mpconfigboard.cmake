# ESP32-S3-DevKitC-1: which chip, which of MicroPython's settings, and ours.

set(IDF_TARGET esp32s3)

set(SDKCONFIG_DEFAULTS
    boards/sdkconfig.base
    ${SDKCONFIG_IDF_VERSION_SPECIFIC}
)

set(METER_FLASH_SIZE 8MB)
include(${MICROPY_BOARD_DIR}/../meter.cmake)
