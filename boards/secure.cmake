# What BOARD_VARIANT=SECURE adds: the board's sdkconfig.board, your signing key, no REPL.

if(NOT DEFINED ENV{METER_SIGNING_KEY})
    message(FATAL_ERROR
        "METER_SIGNING_KEY is not set: name the file of your signing key. Make one with "
        "`espsecure generate-signing-key --version 2 --scheme rsa3072 FILE`, and keep a copy: "
        "without it a locked meter never takes another program."
    )
endif()

file(WRITE ${CMAKE_BINARY_DIR}/sdkconfig.secure
    "CONFIG_SECURE_BOOT_SIGNING_KEY=\"$ENV{METER_SIGNING_KEY}\"\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/../partitions-secure-${METER_FLASH_SIZE}.csv\"\n"
)
list(APPEND SDKCONFIG_DEFAULTS
    ${MICROPY_BOARD_DIR}/sdkconfig.board
    ${CMAKE_BINARY_DIR}/sdkconfig.secure
)

# A REPL reads NVS, and the meter key with it. Without one there is no Improv either: Wi-Fi and
# identity are in the image.
list(APPEND MICROPY_DEF_BOARD
    MICROPY_HW_ENABLE_UART_REPL=0
    MICROPY_HW_ESP_USB_SERIAL_JTAG=0
    MICROPY_HW_ENABLE_USBDEV=0
)
