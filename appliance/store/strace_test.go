package store_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// tracedCalls are all that change files, those that we do not use included, so
// that the simulation cannot miss one.
const tracedCalls = "openat,open,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range," +
	"ftruncate,truncate,fallocate,copy_file_range,sendfile,splice,rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir"

type callKind int

const (
	callSay callKind = iota // to standard output
	callWrite
	callTruncate
	callSync
	callSyncDir
	callCreate
	callLink
	callRename
	callUnlink
)

// event is one call that matters for what a power cut leaves.
type event struct {
	call         callKind
	inode        int
	path, to     string // below the data folder
	offset       int64  // of a write; the size of a truncation
	data         []byte
	began, ended int // lines of the trace
}

// tracer follows descriptors and names as the child saw them.
type tracer struct {
	dir    string
	fds    map[int]*opened
	names  map[string]int
	inodes int
	events []event
}

type opened struct {
	inode  int
	path   string // of a folder
	folder bool
	offset int64
}

// parseTrace reads what strace wrote: "PID call(args) = result", or that in two
// lines when other threads come in between.
func parseTrace(raw []byte, dir string) ([]event, error) {
	t := &tracer{dir: dir, fds: map[int]*opened{1: {inode: -1}}, names: map[string]int{}}
	type half struct {
		text string
		line int
	}
	unfinished := map[string]half{} // by PID
	number := 0
	for line := range strings.Lines(string(raw)) {
		number++
		began := number
		pid, line, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		line = strings.TrimLeft(line, " ")
		if begin, ok := strings.CutSuffix(line, " <unfinished ...>"); ok {
			unfinished[pid] = half{begin, number}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "<... "); ok {
			_, rest, _ = strings.Cut(rest, " resumed>")
			line, began = unfinished[pid].text+rest, unfinished[pid].line
		}
		end := strings.LastIndex(line, ") ")
		call, args, ok := strings.Cut(line[:max(end, 0)], "(")
		result, ok2 := strings.CutPrefix(strings.TrimLeft(line[max(end+1, 0):], " "), "= ")
		if !ok || !ok2 {
			continue // exits and signals
		}
		result, _, _ = strings.Cut(result, " ")
		n, err := strconv.Atoi(result)
		if err != nil || n < 0 {
			continue // a call that failed changed nothing
		}
		if err := t.add(call, splitArgs(args), n, began, number); err != nil {
			return nil, fmt.Errorf("trace line %d: %w: %.200s", number, err, line)
		}
	}
	return t.events, nil
}

// splitArgs cuts arguments at commas; strings are hexadecimal and have none.
func splitArgs(args string) []string {
	parts := strings.Split(args, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

func text(arg string) (string, error) {
	quoted, ok := strings.CutPrefix(arg, `"`)
	if !ok || !strings.HasSuffix(quoted, `"`) {
		return "", fmt.Errorf("%.40s is not a whole string", arg)
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSuffix(quoted, `"`), `\x`, ""))
	return string(b), err
}

// below returns the path within the data folder, "." for the folder itself.
func (t *tracer) below(arg string) (string, bool, error) {
	path, err := text(arg)
	if err != nil {
		return "", false, err
	}
	rel, err := filepath.Rel(t.dir, path)
	return rel, err == nil && rel != ".." && !strings.HasPrefix(rel, "../"), nil
}

func (t *tracer) emit(e event, began, ended int) {
	e.began, e.ended = began, ended
	t.events = append(t.events, e)
}

func (t *tracer) add(call string, args []string, result, began, ended int) error {
	switch call {
	case "openat":
		return t.open(args, result, began, ended)
	case "close":
		fd, err := strconv.Atoi(args[0])
		delete(t.fds, fd)
		return err
	case "renameat", "renameat2", "linkat":
		return t.rename(call, args, began, ended)
	case "unlinkat":
		path, ours, err := t.below(args[1])
		if ours && err == nil {
			t.emit(event{call: callUnlink, path: path, inode: t.names[path]}, began, ended)
			delete(t.names, path)
		}
		return err
	case "mkdirat", "mkdir":
		return nil // folders are made again with the image
	case "write", "pwrite64", "fsync", "fdatasync", "ftruncate":
	default:
		return t.unexpected(args)
	}
	fd, err := strconv.Atoi(args[0])
	f := t.fds[fd]
	if err != nil || f == nil {
		return err // not a file of ours
	}
	e := event{inode: f.inode}
	switch call {
	case "write", "pwrite64":
		data, err := text(args[1])
		if err != nil {
			return err
		}
		e.call, e.data = callWrite, []byte(data)[:result]
		if call == "pwrite64" {
			if e.offset, err = strconv.ParseInt(args[3], 10, 64); err != nil {
				return err
			}
		} else {
			e.offset = f.offset
			f.offset += int64(result)
		}
		if fd == 1 {
			e.call = callSay
		}
	case "fsync", "fdatasync":
		if e.call = callSync; f.folder {
			e.call, e.path = callSyncDir, f.path
		}
	case "ftruncate":
		e.call = callTruncate
		if e.offset, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return err
		}
	}
	t.emit(e, began, ended)
	return nil
}

func (t *tracer) open(args []string, fd, began, ended int) error {
	path, ours, err := t.below(args[1])
	if err != nil || !ours {
		return err
	}
	inode, known := t.names[path]
	switch {
	case known:
	case strings.Contains(args[2], "O_CREAT"):
		t.inodes++
		inode = t.inodes
		t.names[path] = inode
		t.emit(event{call: callCreate, path: path, inode: inode}, began, ended)
	default:
		t.fds[fd] = &opened{path: path, folder: true}
		return nil
	}
	if strings.Contains(args[2], "O_TRUNC") {
		t.emit(event{call: callTruncate, inode: inode}, began, ended)
	}
	t.fds[fd] = &opened{inode: inode}
	return nil
}

func (t *tracer) rename(call string, args []string, began, ended int) error {
	from, ours, err := t.below(args[1])
	to, also, err2 := t.below(args[3])
	if err := errors.Join(err, err2); err != nil || !ours && !also {
		return err
	}
	if ours != also {
		return errors.New("moved in or out of the data folder")
	}
	e := event{call: callRename, path: from, to: to, inode: t.names[from]}
	if call == "linkat" {
		e.call = callLink
	} else {
		delete(t.names, from)
	}
	t.names[to] = e.inode
	t.emit(e, began, ended)
	return nil
}

// unexpected refuses calls that the simulation does not know, if they are on
// a file of ours.
func (t *tracer) unexpected(args []string) error {
	for _, arg := range args {
		if fd, err := strconv.Atoi(arg); err == nil && fd > 2 && t.fds[fd] != nil {
			return errors.New("a call that the simulation does not know")
		}
		if _, ours, err := t.below(arg); err == nil && ours {
			return errors.New("a call that the simulation does not know")
		}
	}
	return nil
}
