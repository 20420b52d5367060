//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	pionturn "github.com/pion/turn/v3"

	"signalbox/turn"
)

// A role is what this program does when it runs as a server: its arguments are
// the role's name, the address to listen on, and the address to relay from.
var roles = map[string]func(listen, relay netip.AddrPort) error{
	"serve-relay":     serveRelay,
	"serve-pion":      servePion,
	"serve-forwarder": serveForwarder,
}

var benchSecret = []byte("a secret of the benchmark alone")

const (
	benchUser     = "bench"
	benchPassword = "bench-password"
	benchRealm    = "bench"
)

// playRole serves until it is killed, if this process was started for that.
func playRole(args []string) (played bool, err error) {
	if len(args) != 3 || roles[args[0]] == nil {
		return false, nil
	}
	listen, err := netip.ParseAddrPort(args[1])
	if err != nil {
		return true, err
	}
	relay, err := netip.ParseAddr(args[2])
	if err != nil {
		return true, err
	}
	return true, roles[args[0]](listen, netip.AddrPortFrom(relay, 0))
}

// serveRelay is the relay of this module as the box runs it, with the spare
// processor of a box of one core, but for the limits that keep one source from
// doing what a benchmark does.
func serveRelay(listen, _ netip.AddrPort) error {
	runtime.GOMAXPROCS(max(2, runtime.GOMAXPROCS(0)))
	const many = 16000
	server, err := turn.New(turn.Config{
		Listen:         []string{listen.String()},
		MaxAllocations: many, MaxAllocationsPerUser: many, MaxAllocationsPerSource: many,
		MaxPermissionsPerUser: many, MaxPermissionsPerSource: many,
		MaxChannelsPerUser: many, MaxChannelsPerSource: many, MaxChallenges: 1_000_000,
	}, benchSecret)
	if err != nil {
		return err
	}
	tidyOnSignal()
	fmt.Fprintln(os.Stdout, "ready")
	return server.Run(context.Background())
}

// servePion is pion's examples/turn-server/simple.
func servePion(listen, relay netip.AddrPort) error {
	socket, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp4", listen.String())
	if err != nil {
		return err
	}
	key := pionturn.GenerateAuthKey(benchUser, benchRealm, benchPassword)
	_, err = pionturn.NewServer(pionturn.ServerConfig{
		Realm: benchRealm,
		AuthHandler: func(username, _ string, _ net.Addr) ([]byte, bool) {
			return key, username == benchUser
		},
		PacketConnConfigs: []pionturn.PacketConnConfig{{
			PacketConn: socket,
			RelayAddressGenerator: &pionturn.RelayAddressGeneratorStatic{
				RelayAddress: relay.Addr().AsSlice(), Address: "0.0.0.0",
			},
		}},
	})
	if err != nil {
		return err
	}
	tidyOnSignal()
	fmt.Fprintln(os.Stdout, "ready")
	select {}
}

// tidyOnSignal has SIGUSR1 collect the garbage and return it to the machine,
// so that what allocations hold can be told from what making them has left.
func tidyOnSignal() {
	tidy := make(chan os.Signal, 1)
	signal.Notify(tidy, syscall.SIGUSR1)
	go func() { // ends with the process
		for range tidy {
			runtime.GC()
			debug.FreeOSMemory()
		}
	}()
}

func relayLogin() login {
	c := turn.NewCredential(benchSecret, benchUser, time.Now().Add(time.Hour))
	return login{c.Username, c.Password}
}

func staticLogin() login { return login{benchUser, benchPassword} }
