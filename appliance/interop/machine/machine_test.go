//go:build linux && interop

package machine_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// patience is for anything that is to happen, on two cores that are busy with
// other tests: whoever has to wait as long has met a fault. How fast things are
// is for those tests to say that measure it.
const patience = 2 * time.Minute

// machine is a booted system.
type machine struct {
	t      *testing.T
	on     *netlab.Host // its network
	name   string
	leader int    // its first process, as this machine counts
	upper  string // what it has written, seen through the process that holds its mounts
	log    *log
	ended  chan struct{}
}

// start mounts and boots. $1 is a folder, $2 the folder of packages. The mounts
// are in a namespace of their own and go with it. $3 names the machine and the
// control group that is its root. What this machine has set up for itself is no
// affair of the new one.
const start = `set -e
for groups in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
	if [ -e "$groups/cgroup.procs" ]; then
		mkdir -p "$groups/$3" && echo $$ >"$groups/$3/cgroup.procs"
	fi
done
mount -t tmpfs -o size=3g tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
cd "$1/root"
rm -rf etc/systemd/system/* etc/rc?.d etc/init.d usr/sbin/policy-rc.d etc/resolv.conf
echo 5167a1b0c5167a1b0c5167a1b0c51671 >etc/machine-id
for unit in getty@.service serial-getty@.service console-getty.service systemd-logind.service systemd-firstboot.service systemd-timesyncd.service; do
	ln -s /dev/null etc/systemd/system/$unit
done
: >etc/fstab
echo box >etc/hostname
exec systemd-nspawn --quiet -D "$1/root" -M "$3" --boot --register=no --keep-unit --console=pipe --bind-ro="$2:/debs" \
	systemd.unit=multi-user.target </dev/null
`

// boot starts a machine on a host.
func boot(t *testing.T, on *netlab.Host, debs string) *machine {
	t.Helper()
	m := &machine{t: t, on: on, name: "sbx-test-" + strconv.Itoa(os.Getpid()), log: new(log), ended: make(chan struct{})}
	dir := t.TempDir()
	cmd := on.Command(context.Background(), "unshare", "--mount", "--propagation", "private", // the test's cleanup ends it
		"sh", "-c", start, "sh", dir, debs, m.name)
	cmd.Stdout, cmd.Stderr = m.log, m.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.upper = "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/root" + filepath.Join(dir, "up")
	go func() {
		defer close(m.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { m.halt(cmd) })
	m.await("its first process", func() bool {
		children, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) + "/children")
		for child := range strings.FieldsSeq(string(children)) {
			name, _ := os.ReadFile("/proc/" + child + "/comm")
			if strings.TrimSpace(string(name)) == "systemd" {
				m.leader, _ = strconv.Atoi(child)
			}
		}
		return m.leader != 0
	})
	m.await("the system to be up", func() bool {
		state, _ := m.try("systemctl is-system-running")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded"
	})
	return m
}

// in is the same machine for a subtest.
func (m *machine) in(t *testing.T) *machine {
	same := *m
	same.t = t
	return &same
}

// halt ends the machine with its first process.
func (m *machine) halt(cmd *exec.Cmd) {
	if m.t.Failed() && m.leader != 0 {
		journal, _ := m.try("journalctl --no-pager -n 200 -u 'signalbox*'")
		m.t.Logf("the journal:\n%s", journal)
	}
	if m.leader != 0 {
		_ = syscall.Kill(m.leader, syscall.SIGKILL)
	} else {
		_ = cmd.Process.Kill()
	}
	<-m.ended
	for _, groups := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/systemd/", "/sys/fs/cgroup/unified/"} {
		_ = exec.Command("find", groups+m.name, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+").Run() // it may not be there
	}
}

// written lists what the machine has on disk that this machine, which lies
// below it, has not.
func (m *machine) written() []string {
	m.t.Helper()
	var paths []string
	err := filepath.WalkDir(m.upper, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&fs.ModeCharDevice == 0 { // that is how an overlay notes what was deleted
			paths = append(paths, strings.TrimPrefix(path, m.upper))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return paths
}

// await polls for done.
func (m *machine) await(what string, done func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(100 * time.Millisecond) {
		select {
		case <-m.ended:
			m.t.Fatalf("the machine has ended while waiting for %s:\n%s", what, m.log)
		default:
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// try runs shell commands on the machine.
func (m *machine) try(script string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "-t", strconv.Itoa(m.leader), "-a", "--", "sh", "-c", script)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_PAGER=cat", "DEBIAN_FRONTEND=noninteractive"}
	return output(ctx, cmd)
}

// sh is try for what must succeed.
func (m *machine) sh(script string) string {
	m.t.Helper()
	out, err := m.try(script)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// write puts a file onto the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	m.sh("mkdir -p '" + filepath.Dir(path) + "' && cat >'" + path + "' <<'END_OF_FILE'\n" + text + "\nEND_OF_FILE")
}

// property is one of a unit's.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	return m.sh("systemctl show -P " + name + " " + unit)
}

// number is a property that is one.
func (m *machine) number(unit, name string) int64 {
	m.t.Helper()
	n, err := strconv.ParseInt(m.property(unit, name), 10, 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// active waits until the box serves.
func (m *machine) active() {
	m.t.Helper()
	m.await("the box to serve", func() bool {
		out, err := m.try("systemctl show -P ActiveState signalbox && signalbox status --json")
		return err == nil && strings.HasPrefix(out, "active\n")
	})
}

// says waits for a line in the box's journal since a cursor.
func (m *machine) says(cursor, text string) {
	m.t.Helper()
	m.await("the journal to say "+strconv.Quote(text), func() bool {
		out, _ := m.try("journalctl -o cat --after-cursor '" + cursor + "' -u 'signalbox*'")
		return strings.Contains(out, text)
	})
}

// cursor is where the journal is now.
func (m *machine) cursor() string {
	m.t.Helper()
	out := m.sh("journalctl -n 0 --show-cursor")
	_, cursor, ok := strings.Cut(out, "-- cursor: ")
	if !ok {
		m.t.Fatalf("journalctl shows no cursor: %s", out)
	}
	return strings.TrimSpace(cursor)
}

// log collects what the machine's console shows.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() > 1<<20 {
		return 0, errors.New("the console says more than a machine should")
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
