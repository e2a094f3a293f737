import { type Command, Option } from 'commander'
import { wholeNumber } from './coordinator-option.ts'
import { printJson } from './output.ts'

interface RestoreFlags {
  readonly from: string
  readonly data: string
  readonly node: number
  readonly address: string
  readonly oldFleetDestroyed?: boolean
  readonly reason: string
  readonly json?: boolean
}

/** `concordat restore`: the first node of a new fleet, out of a backup. */
export function addRestoreCommand(program: Command): void {
  program
    .command('restore')
    .description('make the data directory of the first node of a new fleet out of a backup; the others join it')
    .requiredOption('--from <file>', 'the backup')
    .requiredOption('--data <directory>', 'a new or empty directory')
    .addOption(new Option('--node <n>', 'its node id, never used before').argParser(wholeNumber).makeOptionMandatory())
    .requiredOption('--address <host:port>', 'where the others will reach it')
    .option('--old-fleet-destroyed', 'no node of the old fleet will ever run again: its node ids may be used again')
    .option('--reason <text>', 'why; goes into the replicated log', 'concordat restore')
    .option('--json', 'print one line of JSON for machines')
    .action(restore)
}

async function restore(flags: RestoreFlags): Promise<void> {
  const { from: file, data: directory, node, address, reason } = flags
  const isOldFleetDestroyed = flags.oldFleetDestroyed === true
  const { restoreData } = await import('../server/index.ts')
  const { backup, retired } = await restoreData({ file, directory, node, address, isOldFleetDestroyed, reason })
  const { clusterId: cluster, position, takenAtMs } = backup
  if (flags.json) {
    printJson({ cluster, node, directory, ...position, takenAtMs, retired })
    return
  }
  console.log(
    [
      `${directory} is node ${node} of cluster ${cluster}, as of ${new Date(takenAtMs).toISOString()} (entry ${position.index}).`,
      `Retired: ${retired.join(', ') || 'none'}`,
      '\nThis fleet does not know what was decided since the backup. Transactions from before now that it does not know',
      'stay in doubt, and their branches keep their locks, until you lift the guard.',
      '\nNext:',
      `  1. Start node ${node}; its configuration names itself as the only member.`,
      '  2. concordat guard            what is in doubt now, and how to settle it',
      '  3. concordat members add …    the other nodes, with ids that were never used',
    ].join('\n'),
  )
}
