// Shapes of what goes over the socket, for the type checker and for readers.
// Nothing here exists at run time. The contract is appliance/signaling/PROTOCOL.md.

/**
 * A frame as parsed from the socket. Fields beyond the envelope depend on `type`.
 * @typedef {{type: string, seq?: number, ack?: number, id?: number, re?: number, [field: string]: any}} Frame
 */

/** @typedef {{urls: string | string[], username?: string, credential?: string}} IceServer */

/**
 * ICE servers and the moment (Unix milliseconds) until which their credentials hold.
 * @typedef {{servers: IceServer[], expires?: number}} Ice
 */

/** @typedef {{subject: string, rooms: string[], rights: string[], expires?: number}} Identity */

/** @typedef {{frame_bytes: number, unacked_frames: number, unacked_bytes?: number, rooms?: number}} Limits */

/**
 * @typedef {object} Welcome
 * @property {string} session
 * @property {string} member   this session's member id, the same in every room
 * @property {boolean} resumed
 * @property {string} [reason] why a resume was refused
 * @property {string} resume   token for the next resume
 * @property {number} epoch    counts the box's starts
 * @property {number} ack      highest client seq the box has accepted
 * @property {number} [time]
 * @property {number} ping_ms
 * @property {number} dead_ms
 * @property {number} resume_ms
 * @property {Identity} identity
 * @property {Limits} limits
 * @property {Ice} [ice]
 */

/**
 * A member of a room as this library presents it. The object is replaced, never
 * changed, so comparing by identity tells whether anything is new.
 * @typedef {object} Member
 * @property {string} id
 * @property {string} subject
 * @property {string} name
 * @property {any} meta
 * @property {'online' | 'suspended'} state
 * @property {number} joined   ordinal in the room; larger joined later
 * @property {boolean} polite  whether this side is polite towards that member
 * @property {boolean} self
 */

/**
 * What became of a frame to one member (`delivered`, `stored`, `absent`,
 * `expired`) or of a room message (`stored`, with the number it was queued for).
 * @typedef {{id: number, status: 'delivered' | 'stored' | 'absent' | 'expired', count?: number}} Receipt
 */

/** @typedef {{name?: string, meta?: any, will?: any}} JoinOptions */

/** What the library needs of a WebSocket: the browser's, Node's and the `ws` package's all have it.
 * @typedef {new (url: string, protocol: string) => WebSocket} SocketClass */

export {};
