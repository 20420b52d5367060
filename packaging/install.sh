#!/bin/sh
# Installs what is in this archive on a machine with systemd and without a
# package manager that knows deb, rpm or apk. Run it again to upgrade: the
# configuration and the state stay. DESTDIR puts everything below a folder.
set -eu
cd "$(dirname "$0")"
root=${DESTDIR:-}
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
	echo 'install.sh: run it as root, or set DESTDIR to a folder of your own' >&2
	exit 1
fi

put() { # mode, file, folder
	mkdir -p "$root$3"
	# A rename, as the file may be a program that runs.
	cp "$2" "$root$3/.$(basename "$2").new"
	chmod "$1" "$root$3/.$(basename "$2").new"
	mv "$root$3/.$(basename "$2").new" "$root$3/$(basename "$2")"
}

if [ -z "$root" ] && [ -x /usr/bin/signalbox ]; then
	/usr/bin/signalbox upgrade keep >/dev/null 2>&1 || true # to go back to, if it must be
fi
put 755 signalbox /usr/bin
for unit in systemd/*.service systemd/*.socket; do put 644 "$unit" /etc/systemd/system; done
put 644 systemd/sysusers.d/signalbox.conf /usr/lib/sysusers.d
put 644 systemd/tmpfiles.d/signalbox.conf /usr/lib/tmpfiles.d
put 644 man/signalbox.1 /usr/share/man/man1
put 644 man/signalbox.toml.5 /usr/share/man/man5
put 644 completions/_signalbox /usr/share/zsh/site-functions
put 644 completions/signalbox.fish /usr/share/fish/vendor_completions.d
mkdir -p "$root/usr/share/bash-completion/completions"
cp completions/signalbox.bash "$root/usr/share/bash-completion/completions/signalbox"
for text in README.md LICENSE SECURITY.md CHANGELOG.md THIRD-PARTY-LICENSES.txt sbom.cdx.json; do
	put 644 "$text" /usr/share/doc/signalbox
done
if [ -e "$root/etc/signalbox/signalbox.toml" ]; then
	cp signalbox.toml "$root/etc/signalbox/signalbox.toml.new"
	echo 'install.sh: your configuration stays; the new sample is /etc/signalbox/signalbox.toml.new'
else
	put 644 signalbox.toml /etc/signalbox
fi

if [ -n "$root" ] || [ ! -d /run/systemd/system ]; then
	exit
fi
systemd-sysusers signalbox.conf
systemd-tmpfiles --create signalbox.conf
systemctl daemon-reload
systemctl enable --now signalbox.socket signalbox-https.socket signalbox-provision.service signalbox.service
systemctl try-restart signalbox.service
