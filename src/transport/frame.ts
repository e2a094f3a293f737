/**
 * A frame is `u32 length | u8 kind | body`. `length` counts the kind byte and the body, so the whole frame is
 * `length + 4` bytes. All numbers are big-endian.
 *
 *      0        4      5
 *      +--------+------+----------------- … -+
 *      | length | kind | body                |
 *      +--------+------+----------------- … -+
 *
 * A kind's high four bits name its group (who may send it), so a frame is refused before its body is looked at.
 */
export const FrameKind = {
  hello: 0x01,
  welcome: 0x02,
  rejected: 0x03,
  ping: 0x04,
  pong: 0x05,
  requestVote: 0x10,
  requestVoteResponse: 0x11,
  appendEntries: 0x12,
  appendEntriesResponse: 0x13,
  timeoutNow: 0x14,
  readIndex: 0x15,
  readIndexResponse: 0x16,
  installSnapshot: 0x17,
  installSnapshotResponse: 0x18,
  commit: 0x20,
  abort: 0x21,
  ack: 0x22,
  inquire: 0x23,
  admin: 0x24,
  vote: 0x25,
  kvCall: 0x26,
  waiting: 0x27,
  lockWaits: 0x28,
  outcome: 0x30,
  refused: 0x31,
  adminResult: 0x32,
  leader: 0x33,
  prepare: 0x34,
  decision: 0x35,
  kvAnswer: 0x36,
  deadlock: 0x37,
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

/** The groups of kinds, one bit each: `1 << (kind >> 4)`. */
export const KindGroup = { control: 1 << 0, raft: 1 << 1, client: 1 << 2, server: 1 << 3 } as const

/** Bytes before a frame's body: length and kind. */
export const FRAME_HEADER_BYTES = 5

/** The largest body: 4 MiB (DESIGN §10). A longer frame is refused before anything is allocated for it. */
export const FRAME_BODY_BYTES_MAX = 4 * 1024 * 1024

/** The largest `data` of an installSnapshot: what others send to the same node, heartbeats first, waits behind it. */
export const SNAPSHOT_CHUNK_BYTES_MAX = 1024 * 1024

/** The largest body before the handshake is done: nobody has said yet who they are. */
export const HANDSHAKE_BODY_BYTES_MAX = 64 * 1024

/** Opens the body of hello, welcome and rejected: "CDTP". Tells us from strangers that found the port. */
export const MAGIC = 0x43445450
