import { describe, expect, test } from 'vitest'
import { ByteWriter } from '../../src/base/index.ts'
import { decodeFrame, encodeFrame } from '../../src/transport/index.ts'
import { framesOf, releases } from './fixture.support.ts'

/** Flags that later versions added: not set in what an older one sent. */
const ADDED_FLAGS: Readonly<Record<string, object>> = {
  requestVote: { leadershipTransfer: false },
  appendEntriesResponse: { doubtful: false },
}
/** The kinds of protocol 1.0: every later release must still have each of them. */
const FIRST_KINDS =
  'hello welcome rejected ping pong requestVote requestVoteResponse appendEntries appendEntriesResponse commit abort ack inquire admin vote outcome refused adminResult leader prepare decision'

describe.each(releases())('frames of release %s', (release) => {
  const frames = framesOf(release)

  test('there is one of every kind', () => {
    expect(new Set(frames.map(({ kind }) => kind))).toEqual(new Set(FIRST_KINDS.split(' ')))
  })

  test.each(frames.map((frame) => [frame.kind, frame] as const))('%s reads as it did', (kind, { hex, message }) => {
    const bytes = Buffer.from(hex, 'hex')
    expect(decodeFrame(bytes, 0, bytes.length)).toEqual({ ...message, ...ADDED_FLAGS[kind] })
  })

  test.each(frames.map((frame) => [frame.kind, frame] as const))('%s is written as it was', (_, { hex }) => {
    const bytes = Buffer.from(hex, 'hex')
    const writer = new ByteWriter()
    encodeFrame(decodeFrame(bytes, 0, bytes.length), writer)
    expect(writer.finish().toString('hex')).toBe(hex)
  })
})
