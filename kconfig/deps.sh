#!/bin/sh
# deps.sh PACKAGE...: installs the Debian packages that are missing. Says nothing and asks no server
# when all are there.
missing=
for p in "$@"; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) in
	installed) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0
command -v apt-get >/dev/null || {
	echo "deps: no apt-get here; please install:$missing" >&2
	exit 1
}
sudo=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: run as root: apt-get install$missing" >&2
		exit 1
	}
	sudo=sudo
fi
echo "deps: installing$missing"
$sudo apt-get update -qq &&
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
