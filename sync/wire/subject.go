package wire

import "strings"

// Subjects of the broker. A box may publish on its own Frames, Ask and Live
// and subscribe to its own Nudge and Inbox, and nothing else.
const (
	framesPrefix = "up."
	askPrefix    = "ask."
	livePrefix   = "live."
	nudgePrefix  = "nudge."
	inboxPrefix  = "_INBOX."

	AllFrames = "up.*.*.*.f"
	AllAsks   = "ask.*.*.*"
	AllLive   = "live.*.*.*"
)

// FramesSubject is where the box publishes batches; stored in the stream UP.
func (b BoxID) FramesSubject() string { return framesPrefix + b.String() + ".f" }

// AskSubject is where it asks where it stands; any cloud node answers.
func (b BoxID) AskSubject() string { return askPrefix + b.String() }

// LiveSubject is where it publishes Live while somebody watches. Not stored.
func (b BoxID) LiveSubject() string { return livePrefix + b.String() }

// NudgeSubject is where it is told that something waits for it. Not stored.
func (b BoxID) NudgeSubject() string { return nudgePrefix + b.String() }

// InboxPrefix is the prefix of its reply subjects.
func (b BoxID) InboxPrefix() string { return inboxPrefix + b.String() }

// ParseSubject finds the box in one of the subjects above.
func ParseSubject(subject string) (BoxID, error) {
	_, rest, _ := strings.Cut(subject, ".")
	rest = strings.TrimSuffix(rest, ".f")
	return ParseBoxID(rest)
}
