# Kconfig glue. Filled in by the configuration rules; without python3-kconfiglib the checked-in
# default header is used.
AUTOCONF := kconfig/configs/default/autoconf.h
KCONFIG_LIBS :=
KCONFIG_OFF :=
