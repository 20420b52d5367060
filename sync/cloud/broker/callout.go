package broker

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// calloutSubject is where servers of an external cluster ask who a client is
// (NATS ADR-26). It is in the account of the streams; the right to publish on
// it has the servers' own client alone.
const calloutSubject = "$SYS.REQ.USER.AUTH"

// calloutQueue has one node answer, whichever.
const calloutQueue = "cloud"

// callout answers it.
type callout struct {
	key      nkeys.KeyPair // of the account that signs
	session  []byte
	account  string // where boxes are put
	conn     *nats.Conn
	granted  atomic.Uint64
	refused  atomic.Uint64
	mistaken atomic.Uint64 // what is not a request of a server
}

func (c *callout) subscribe() error {
	_, err := c.conn.QueueSubscribe(calloutSubject, calloutQueue, c.answer)
	return err
}

func (c *callout) answer(m *nats.Msg) {
	request, err := jwt.DecodeAuthorizationRequestClaims(string(m.Data))
	if err != nil || request.Server.ID == "" || !nkeys.IsValidPublicServerKey(request.Issuer) {
		c.mistaken.Add(1)
		return
	}
	response := jwt.NewAuthorizationResponseClaims(request.UserNkey)
	response.Audience = request.Server.ID
	if response.Jwt, err = c.grant(request); err != nil {
		response.Error = err.Error()
		c.refused.Add(1)
	} else {
		c.granted.Add(1)
	}
	token, err := response.Encode(c.key)
	if err != nil {
		c.mistaken.Add(1)
		return
	}
	// An answer that is lost costs the box a new attempt.
	_ = m.Respond([]byte(token))
}

// grant makes the user that a session stands for. The server ends the connection
// when it expires.
func (c *callout) grant(request *jwt.AuthorizationRequestClaims) (string, error) {
	box, until, err := parseSession(c.session, request.ConnectOptions.Username, time.Now())
	if err != nil {
		return "", err
	}
	r := rightsOf(box)
	user := jwt.NewUserClaims(request.UserNkey)
	user.Name = box.String()
	user.Audience = c.account
	user.Expires = until.Unix()
	user.Pub.Allow.Add(r.publish...)
	user.Sub.Allow.Add(r.subscribe...)
	user.Limits.Subs = maxSubscriptions
	user.Limits.Payload = maxBoxPayload
	return user.Encode(c.key)
}

// CalloutConfig is the part of nats-server.conf that an external cluster needs:
// the account of the streams, the user of the cloud in it, and that cloud nodes
// are asked about everyone else. seed is the account key's, user the cloud's.
// The password is for the operator to fill in, as is TLS.
func CalloutConfig(seed, account, user string) (string, error) {
	key, err := calloutKey(seed)
	if err != nil {
		return "", err
	}
	public, err := key.PublicKey()
	if err != nil {
		return "", fmt.Errorf("callout seed: %w", err)
	}
	return fmt.Sprintf(calloutConfig, account, user, maxBoxPayload, public, pingEvery), nil
}

// NewCalloutSeed makes a key for CalloutConfig.
func NewCalloutSeed() (string, error) {
	key, err := nkeys.CreateAccount()
	if err != nil {
		return "", err
	}
	seed, err := key.Seed()
	return string(seed), err
}

const calloutConfig = `# For every server of the cluster. The password, or its bcrypt hash, comes from
# the environment of nats-server, or stands here in place of the variable.
accounts {
  %[1]s {
    jetstream: enabled
    users: [ { user: %[2]q, password: $SIGNALBOX_NATS_PASSWORD } ]
  }
  SYS {}
}
system_account: SYS
max_payload: %[3]d
ping_interval: "%[5]s" # boxes ping before that, when nothing else is to be said
authorization {
  timeout: 5
  auth_callout {
    issuer: %[4]s
    account: %[1]s
    auth_users: [ %[2]q ]
  }
}
jetstream {
  store_dir: "/var/lib/nats"
  sync_interval: always # an answer means that it is on the disk
}
`
