// ESP32-C6-DevKitC-1 as a meter, built outside of MicroPython's tree.

#define MICROPY_HW_BOARD_NAME "ESP32-C6-DevKitC-1 meter"
#define MICROPY_HW_MCU_NAME "ESP32C6"

// A meter needs no Bluetooth: its memory is better kept for TLS.
#define MICROPY_PY_BLUETOOTH (0)
