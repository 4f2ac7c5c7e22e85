# What all boards of ours add: the flash's size, the meter's partition table, what is frozen.

if(NOT METER_PARTITIONS)
    set(METER_PARTITIONS ${MICROPY_BOARD_DIR}/../partitions-${METER_FLASH_SIZE}.csv)
endif()

# MicroPython puts these files together before ESP-IDF sees them, so that a path must be whole.
file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.meter
    "CONFIG_ESPTOOLPY_FLASHSIZE_4MB=\n"
    "CONFIG_ESPTOOLPY_FLASHSIZE_${METER_FLASH_SIZE}=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${METER_PARTITIONS}\"\n"
)
list(APPEND SDKCONFIG_DEFAULTS ${CMAKE_BINARY_DIR}/sdkconfig.meter)

if(NOT MICROPY_FROZEN_MANIFEST)
    set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
endif()
