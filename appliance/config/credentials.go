package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
)

// CredentialsDir holds files that only root may read. The service manager reads
// them for the service (LoadCredential=credentials:…, systemd.exec(5)) and puts
// copies where only the service can read them.
const CredentialsDir = "/etc/signalbox/credentials"

// credentialPrefix is what the manager calls files of the folder: the id of the
// unit's LoadCredential before their name.
const credentialPrefix = "credentials_"

// credentials has every value that names a file of CredentialsDir name the copy
// that the manager has made of it, so that one configuration does for the service
// and for root. dir is $CREDENTIALS_DIRECTORY; "" outside a service.
func credentials(v reflect.Value, dir string) {
	switch v.Kind() {
	case reflect.Struct:
		for _, f := range fieldsOf(v.Type()) {
			credentials(v.FieldByIndex(f.index), dir)
		}
	case reflect.Slice:
		for i := range v.Len() {
			credentials(v.Index(i), dir)
		}
	case reflect.String:
		name, ok := strings.CutPrefix(v.String(), CredentialsDir+"/")
		if !ok || strings.Contains(name, "/") {
			return
		}
		if path := filepath.Join(dir, credentialPrefix+name); fileExists(path) {
			v.SetString(path)
		}
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (l *loader) credentials(environ []string) {
	for _, entry := range environ {
		if dir, ok := strings.CutPrefix(entry, "CREDENTIALS_DIRECTORY="); ok && dir != "" {
			credentials(l.root, dir)
		}
	}
}
