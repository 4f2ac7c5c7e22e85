# BOARD_VARIANT=SECURE: locks the chip at its first start, for good. docs/boards.md first.

include(${MICROPY_BOARD_DIR}/../secure.cmake)
