import type { Command } from 'commander'
import type { DirectoryReport, Forced } from '../server/index.ts'
import { stderrColors, stdoutColors } from '../terminal/index.ts'
import { confirmCluster } from './confirmation.ts'
import { describeBytes, ExitCode, printJson } from './output.ts'

interface RecoverFlags {
  readonly data: string
  readonly forceNewCluster?: boolean
  readonly yesLoseData?: string
  readonly address?: string
  readonly reason: string
  readonly json?: boolean
}

/** `concordat recover`: what a stopped node has, and the last resort when the majority is lost for good. */
export function addRecoverCommand(program: Command): void {
  program
    .command('recover')
    .description(
      'look at the data directory of a stopped node; when the majority is lost for good, go on with it alone',
    )
    .requiredOption('--data <directory>', "the node's data directory")
    .option('--force-new-cluster', 'make this node the only member; loses what only the lost members knew')
    .option('--yes-lose-data <cluster>', "confirm that with the cluster's name, for scripts")
    .option('--address <host:port>', 'where new members reach this node, if the directory does not tell')
    .option('--reason <text>', 'why; goes into the replicated log', 'concordat recover --force-new-cluster')
    .option('--json', 'print one line of JSON for machines')
    .action(recover)
}

async function recover(flags: RecoverFlags): Promise<void> {
  const { checkRecoverable, inspectData, recoverData } = await import('../server/index.ts')
  const report = await inspectData(flags.data)
  if (flags.forceNewCluster !== true) {
    if (flags.json) printJson(plain(report))
    else printReport(report, flags.data)
    if (isBad(report)) process.exitCode = ExitCode.failed
    return
  }
  checkRecoverable(report)
  if (!flags.json) {
    printReport(report, flags.data)
    printRisk(report)
  }
  await confirmCluster(report.clusterId, flags.yesLoseData, '--yes-lose-data')
  const forced = await recoverData({ directory: flags.data, address: flags.address, reason: flags.reason })
  if (flags.json) printJson({ before: plain(forced.before), after: plain(forced.after), copy: forced.copy })
  else printDone(forced)
}

function isBad({ logDamage, lacks, doubtful, begunFrom }: DirectoryReport): boolean {
  return logDamage !== undefined || lacks !== undefined || doubtful || begunFrom !== undefined
}

function printReport(report: DirectoryReport, directory: string): void {
  const { clusterId, nodeId, term, last, snapshot, members } = report
  const { learners, retired } = members.configuration
  const role = members.isRetired(nodeId) ? ', removed' : learners.includes(nodeId) ? ', a learner' : ''
  const row = (name: string, value: string) => console.log(`  ${name.padEnd(20)}${value}`)
  console.log(stdoutColors.bold(`Node ${nodeId} of cluster ${clusterId} (${directory})`))
  row('part', members.isMember(nodeId) ? `a member${role}` : `no member${role}`)
  row('term', String(term))
  row('last entry', `${last.index} (term ${last.term})`)
  row('surely committed', describeCommitted(report))
  row('members', describeMembers(report))
  if (retired.length > 0) row('removed before', retired.join(', '))
  row('snapshot', snapshot === undefined ? 'none' : describeSnapshot(snapshot))
  printDamage(report)
}

function describeCommitted({ last, committed }: DirectoryReport): string {
  if (committed > last.index) return `up to ${committed}; ${last.index + 1} to ${committed} are lost here`
  return committed < last.index ? `up to ${committed}; the rest may be` : `up to ${last.index}`
}

function describeMembers({ members }: DirectoryReport): string {
  if (members.nodeIds.length === 0) return 'not written here (an older release, or a node that was never added)'
  return members.nodeIds.map((nodeId) => `${nodeId}=${members.addressOf(nodeId) ?? '?'}`).join(', ')
}

function describeSnapshot({ header, fileBytes }: NonNullable<DirectoryReport['snapshot']>): string {
  const { position, takenAtMs } = header
  return `up to entry ${position.index}, ${describeBytes(fileBytes)}, of ${new Date(takenAtMs).toISOString()}`
}

function printDamage(report: DirectoryReport): void {
  const { logDamage, snapshotDamage, lacks, doubtful, begunFrom } = report
  if (logDamage !== undefined) {
    const { file, offset } = logDamage
    const words = `The log is damaged: ${file}, from byte ${offset} on. All before it was read; nothing behind it counts.`
    console.log(stdoutColors.red(`\n${words}`))
  }
  for (const { message } of snapshotDamage) console.log(stdoutColors.red(`\n${message}`))
  if (lacks !== undefined) {
    console.log(
      stdoutColors.red(
        `\nThe log begins behind entry ${lacks.index}, and no snapshot that can be read reaches as far: there is no state to go on with.`,
      ),
    )
  }
  if (doubtful) console.log(stdoutColors.red('\nThis node lost a part of its log before, and has not got it back yet.'))
  if (begunFrom !== undefined) return printBegun(begunFrom)
  if (!isBad(report)) return
  console.log(
    [
      '\nWhat you can do:',
      '  - While a majority of the others runs: just start this node. It comes back without a vote, fetches what it',
      '    lacks from the others, and votes again when it has it.',
      '  - When the majority is lost for good: recover the node that has most (compare their last entries) with',
      '    --force-new-cluster, or restore a backup (concordat restore).',
    ].join('\n'),
  )
}

function printBegun(copy: string): void {
  const words = [
    '\nA recovery of this directory was begun and has not ended. All above is of the copy that it made first:',
    `  ${copy}`,
    'The node does not start before it has ended. Keep that copy, and go on with --force-new-cluster.',
  ]
  console.log(stdoutColors.red(words.join('\n')))
}

function printRisk({ last, committed, members, nodeId, logDamage, doubtful }: DirectoryReport): void {
  const others = members.nodeIds.filter((each) => each !== nodeId)
  const uncertain = last.index - committed
  const lines = [
    `Only for when ${others.length > 0 ? `the others (${others.join(', ')})` : 'all others'} are lost for good, or so many that no majority is left.`,
    `  - Entries behind ${last.index} that only they had are gone: decisions that clients were told may be missing.`,
    ...(uncertain > 0
      ? [
          `  - Entries ${committed + 1} to ${last.index} become committed, whether they were or not. The others may have decided otherwise.`,
        ]
      : []),
    ...(uncertain < 0
      ? [
          `  - Entries ${last.index + 1} to ${committed} were committed, and this node lost them: they are known to be gone.`,
        ]
      : []),
    ...(logDamage !== undefined || doubtful
      ? ['  - This node lost a part of its own log: decisions in it are missing too.']
      : []),
    '  - Transactions from before now that this log does not know stay in doubt until you lift the guard (concordat guard).',
    '  - Every other node id retires. Those nodes must never run again: two that come back together could still decide.',
  ]
  console.error(`\n${stderrColors.red(lines.join('\n'))}\n`)
}

function printDone({ after, copy }: Forced): void {
  const { nodeId, last, members } = after
  console.log(
    [
      `\nNode ${nodeId} is the only member now; its log ends with entry ${last.index}, all of it committed.`,
      `The directory as it was: ${copy}`,
      `Retired: ${members.configuration.retired.join(', ') || 'none'}`,
      '\nNext:',
      `  1. Start node ${nodeId} with its configuration as it is.`,
      '  2. concordat guard            what is in doubt now, and how to settle it',
      '  3. concordat members add …    new nodes, with ids that were never used',
    ].join('\n'),
  )
}

function plain(report: DirectoryReport): object {
  const { clusterId: cluster, nodeId: node, members, snapshot, logDamage, snapshotDamage, ...rest } = report
  const { configuration } = members
  return {
    cluster,
    node,
    ...rest,
    members: members.nodeIds.map((each) => ({ node: each, address: members.addressOf(each) })),
    voters: configuration.voters,
    retired: configuration.retired,
    snapshot: snapshot && {
      ...snapshot.header.position,
      bytes: snapshot.fileBytes,
      takenAtMs: snapshot.header.takenAtMs,
    },
    logDamage: logDamage && { file: logDamage.file, offset: logDamage.offset, message: logDamage.message },
    snapshotDamage: snapshotDamage.map(({ message }) => message),
  }
}
