// WT32-ETH01 as a meter, built outside of MicroPython's tree.

#define MICROPY_HW_BOARD_NAME "WT32-ETH01 meter"
#define MICROPY_HW_MCU_NAME "ESP32"

// A meter needs no Bluetooth: its memory is better kept for TLS.
#define MICROPY_PY_BLUETOOTH (0)
