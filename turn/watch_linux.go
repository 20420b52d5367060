package turn

import (
	"context"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// watchAddrs tells changes of something new about the addresses and interfaces
// of the machine, until ctx is cancelled. It does so at first too, for what came
// before it could watch, and may tell of a change that is none; while it cannot
// watch it says nothing.
func watchAddrs(ctx context.Context, changes chan<- struct{}, log *slog.Logger) {
	socket, err := openRoute()
	if err != nil {
		log.Warn("changes of addresses are seen late", "err", err)
		return
	}
	defer context.AfterFunc(ctx, func() { socket.Close() })()
	buffer := make([]byte, 8<<10)
	for failed := 0; ctx.Err() == nil; {
		select {
		case changes <- struct{}{}:
		default:
		}
		if _, err := socket.Read(buffer); err == nil {
			failed = 0
		} else if !pause(backoff(failed), ctx.Done()) {
			return
		} else {
			failed++ // a buffer that was too small: something has changed
		}
	}
}

// openRoute opens a route netlink socket (rtnetlink(7)) that hears of addresses
// and links.
func openRoute() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}
