#!/bin/sh
# Installs what is in this archive on a machine with systemd and without a
# package manager that knows deb, rpm or apk. Run it again to upgrade: the
# configuration and the state stay, and so does what the administrator has
# stopped or disabled. DESTDIR puts everything below a folder.
set -eu
umask 022 # the service reads what is installed
cd "$(dirname "$0")"
root=${DESTDIR:-}
if [ -z "$root" ] && [ "$(id -u)" -ne 0 ]; then
	echo 'install.sh: run it as root, or set DESTDIR to a folder of your own' >&2
	exit 1
fi

put() { # mode, file, folder, name unless it is the file's
	to="$root$3/${4:-$(basename "$2")}"
	mkdir -p "$root$3"
	# A rename, as the file may be a program that runs; a power cut leaves the
	# old one or the new one.
	cp "$2" "$to.new"
	chmod "$1" "$to.new"
	sync "$to.new" 2>/dev/null || sync
	mv "$to.new" "$to"
}

first=yes
[ ! -e "$root/etc/systemd/system/signalbox.service" ] || first=
if [ -z "$root" ] && [ -x /usr/bin/signalbox ]; then
	/usr/bin/signalbox upgrade keep >/dev/null ||
		echo 'install.sh: the version before is not kept, and the new one is not on trial' >&2
fi
put 755 signalbox /usr/bin
for unit in systemd/*.service systemd/*.socket systemd/*.path; do put 644 "$unit" /etc/systemd/system; done
put 644 systemd/sysusers.d/signalbox.conf /usr/lib/sysusers.d
put 644 systemd/tmpfiles.d/signalbox.conf /usr/lib/tmpfiles.d
put 644 man/signalbox.1 /usr/share/man/man1
put 644 man/signalbox.toml.5 /usr/share/man/man5
put 644 completions/_signalbox /usr/share/zsh/site-functions
put 644 completions/signalbox.fish /usr/share/fish/vendor_completions.d
put 644 completions/signalbox.bash /usr/share/bash-completion/completions signalbox
for text in README.md LICENSE SECURITY.md CHANGELOG.md THIRD-PARTY-LICENSES.txt sbom.cdx.json; do
	put 644 "$text" /usr/share/doc/signalbox
done
if [ -e "$root/etc/signalbox/signalbox.toml" ]; then
	put 644 signalbox.toml /etc/signalbox signalbox.toml.sample
	echo 'install.sh: your configuration stays; the new sample is /etc/signalbox/signalbox.toml.sample'
else
	put 644 signalbox.toml /etc/signalbox
fi
# Without it the service does not start.
[ -d "$root/etc/signalbox/credentials" ] || mkdir -m 700 "$root/etc/signalbox/credentials"

if [ -n "$root" ] || [ ! -d /run/systemd/system ]; then
	exit
fi
systemd-sysusers signalbox.conf
systemd-tmpfiles --create signalbox.conf
systemctl daemon-reload
if [ -n "$first" ]; then
	systemctl enable --now signalbox.socket signalbox-https.socket signalbox-provision.service signalbox.service
else
	systemctl try-restart signalbox.service signalbox-cloud.service
fi
