"""An engine and the runtime in one archive for the device."""
