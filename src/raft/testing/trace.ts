import type { NodeId } from '../../base/index.ts'
import { decodeConfiguration } from '../configuration-codec.ts'
import type { Configuration, Entry, EntryKind, RaftEffect, RaftEvent, RaftMessage, RaftStatus } from '../types.ts'

// How scenario scripts show what happens. A position is index@term. A message is shown where it arrives or is lost, with
// what its receiver does indented below it; what that sends is shown where THAT arrives.

/** One message, on one line. */
export function messageLine(message: RaftMessage): string {
  return `${message.from}→${message.to} ${messageText(message)}`
}

function messageText(message: RaftMessage): string {
  const { term } = message
  switch (message.kind) {
    case 'requestVote': {
      const { preVote, lastLogIndex, lastLogTerm, leadershipTransfer } = message
      const what = preVote ? 'PreVote' : 'RequestVote'
      return `${what} t${term} last=${lastLogIndex}@${lastLogTerm}${leadershipTransfer ? ' by transfer' : ''}`
    }
    case 'requestVoteResponse': {
      const { preVote, voteGranted, committed } = message
      const known = committed === undefined ? '' : ` committed=${committed.index}@${committed.term}`
      return `${preVote ? 'PreVote' : 'Vote'} ${voteGranted ? 'granted' : 'denied'} t${term}${known}`
    }
    case 'appendEntries': {
      const { prevLogIndex, prevLogTerm, entries, leaderCommit, readRound } = message
      const what = entries.length === 0 ? 'Heartbeat' : 'Append'
      const carried = entries.length === 0 ? '' : ` [${entries.map(entryText).join(', ')}]`
      const round = readRound === 0 ? '' : ` round=${readRound}`
      return `${what} t${term} prev=${prevLogIndex}@${prevLogTerm}${carried} commit=${leaderCommit}${round}`
    }
    case 'appendEntriesResponse': {
      const { success, matchIndex, hintIndex, hintTerm, readRound, doubtful } = message
      const result = success
        ? `Matches t${term} ${matchIndex}`
        : `Refuses t${term} ${matchIndex} hint=${hintIndex}@${hintTerm}`
      return `${result}${readRound === 0 ? '' : ` round=${readRound}`}${doubtful ? ' in doubt' : ''}`
    }
    case 'timeoutNow':
      return `TimeoutNow t${term}`
    case 'readIndex':
      return `ReadIndex t${term}`
    case 'readIndexResponse':
      return message.granted ? `ReadIndex t${term} is ${message.index}` : `ReadIndex t${term} refused`
    case 'installSnapshot': {
      const { snapshot, offset, data, totalBytes } = message
      return `Snapshot t${term} ${snapshot.index}@${snapshot.term} bytes ${offset}+${data.length} of ${totalBytes}`
    }
    case 'installSnapshotResponse': {
      const { snapshot, receivedBytes, status } = message
      const where = status === 'receiving' ? ` ${receivedBytes}` : ''
      return `Snapshot t${term} ${snapshot.index}@${snapshot.term} ${status}${where}`
    }
  }
}

const KINDS: Record<EntryKind, string> = { 0: 'noop', 1: 'command', 2: 'members' }

/** One entry: its position, and what it carries. */
export function entryText(entry: Entry): string {
  const { index, term, kind, data } = entry
  const text = kind === 1 ? `"${Buffer.from(data).toString()}"` : KINDS[kind]
  const members = kind === 2 ? ` ${configurationText(decodeConfiguration(data).configuration)}` : ''
  return `${index}@${term} ${text}${members}`
}

/** The members: voters, and behind them whatever else there is. */
export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, learnersNext, rebuilding, retired } = configuration
  const parts: [string, readonly NodeId[]][] = [
    [' leaving', votersOutgoing],
    [' learners', learners],
    [' next', learnersNext],
    [' rebuilding', rebuilding],
    [' retired', retired],
  ]
  const rest = parts.map(([name, nodes]) => (nodes.length === 0 ? '' : `${name}${group(nodes)}`))
  return `${group(voters)}${rest.join('')}`
}

function group(nodes: readonly NodeId[]): string {
  return `(${nodes.join(' ')})`
}

/** What a node does, or undefined for what it sends. */
export function effectLine(effect: RaftEffect): string | undefined {
  switch (effect.kind) {
    case 'send':
      return undefined
    case 'write': {
      const { hardState, entries } = effect
      const vote = hardState?.votedFor === undefined ? '' : ` vote ${hardState.votedFor}`
      const state =
        hardState === undefined ? [] : [`term ${hardState.currentTerm}${vote} commit ${hardState.commitIndex}`]
      return `writes ${[...state, ...entries.map(entryText)].join(', ')}`
    }
    case 'apply':
      return `applies ${range(effect.entries[0]!.index, effect.entries.at(-1)!.index)}`
    case 'roleChanged': {
      const { role, term, leader } = effect
      return role === 'follower' ? `follows ${leader ?? 'nobody'} t${term}` : `is ${role} t${term}`
    }
    case 'serving':
      return `serves t${effect.term}`
    case 'configurationChanged':
      return `${effect.confirmed ? 'confirms' : 'has'} members ${configurationText(effect.configuration)}`
    case 'configurationProposed':
      return `proposes members at ${effect.index}`
    case 'configurationRefused':
      return `refuses the change: ${effect.reason}${effect.nodes.length === 0 ? '' : ` ${group(effect.nodes)}`}`
    case 'proposed':
      return `proposes ${range(effect.firstIndex, effect.firstIndex + effect.count - 1)}`
    case 'proposalRefused':
      return `refuses the proposal: ${effect.reason}`
    case 'readReady':
      return `answers read ${effect.readId} at ${effect.index}`
    case 'readRefused':
      return `refuses read ${effect.readId}: ${effect.reason}`
    case 'transferFailed':
      return `could not hand over: ${effect.reason}`
    case 'forgetDoubt':
      return 'is in doubt no more'
    case 'sendSnapshot':
      return `sends a snapshot to ${effect.to}`
    case 'installSnapshot':
      return `installs the snapshot ${effect.snapshot.index}@${effect.snapshot.term}`
    case 'load':
      return `loads ${range(effect.from, effect.to)}`
    case 'chunkAcknowledged':
    case 'storeChunk':
      return undefined
  }
}

/** What happened to a node, unless the command says it already. Undefined for what is only of interest by its effects. */
export function eventLine(node: NodeId, event: RaftEvent): string | undefined {
  switch (event.kind) {
    case 'receive':
      return messageLine(event.message)
    case 'tick':
      return `${node} ticks`
    case 'written':
      return `${node} has written`
    case 'loaded':
      return `${node} has loaded`
    case 'chunkStored':
      return `${node} has stored a chunk`
    case 'snapshotInstalled': {
      const { snapshot, configuration } = event
      const members = configurationText(configuration)
      return `${node} has installed the snapshot ${snapshot.index}@${snapshot.term}, members ${members}`
    }
    default:
      return undefined
  }
}

/** One node, on one line. */
export function statusLine(status: RaftStatus): string {
  const { nodeId, role, currentTerm, lastIndex, commitIndex, baseIndex, configuration, doubtful } = status
  const begin = baseIndex === 0 ? '' : ` from ${baseIndex + 1}`
  const log = `log to ${lastIndex}${begin}, commit ${commitIndex}`
  return `${nodeId} ${role} t${currentTerm} ${log}, members ${configurationText(configuration)}${doubtful ? ', in doubt' : ''}`
}

function range(first: number, last: number): string {
  return first === last ? `${first}` : `${first}..${last}`
}
