// ESP32-C3 SuperMini as a meter, built outside of MicroPython's tree.

#define MICROPY_HW_BOARD_NAME "ESP32-C3 SuperMini meter"
#define MICROPY_HW_MCU_NAME "ESP32C3"

// A meter needs no Bluetooth: its memory is better kept for TLS.
#define MICROPY_PY_BLUETOOTH (0)
