import type { Command } from 'commander'
import type { BackupSummary } from '../server/index.ts'
import { stderrColors } from '../terminal/index.ts'
import { addCoordinatorOptions, askOptions, type CoordinatorFlags } from './coordinator-option.ts'
import { describeBytes, printJson } from './output.ts'

/** `concordat backup`: the whole state in one file. */
export function addBackupCommand(program: Command): void {
  const backup = program.command('backup').description('the whole state of a running fleet, in one file')
  addCoordinatorOptions(backup.command('take', { isDefault: true }))
    .description('take a backup from the first coordinator that answers; the fleet goes on meanwhile')
    .argument('<file>', 'where it goes; must not exist yet')
    .action(take)
  backup
    .command('verify')
    .description('read a backup from its first byte to its last, and rebuild the state from it')
    .argument('<file>')
    .option('--json', 'print one line of JSON for machines')
    .action(async (file: string, flags: { readonly json?: boolean }) => {
      const { verifyBackup } = await import('../server/index.ts')
      const found = await verifyBackup(file)
      if (flags.json) printJson(found)
      else print(found)
    })
}

async function take(file: string, flags: CoordinatorFlags): Promise<void> {
  const { takeBackup } = await import('../server/index.ts')
  const taken = await takeBackup(flags.coordinators, file, askOptions(flags), tellProgress)
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  if (flags.json) printJson(taken)
  else print(taken)
}

/** One line on stderr that is written over again and again; in a pipe, nothing. */
function tellProgress(bytes: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${stderrColors.dim(describeBytes(bytes))}`)
}

function print({ file, cluster, takenAtMs, index, term, bytes, members, open, finished, digest }: BackupSummary): void {
  const row = (name: string, value: string) => console.log(`  ${name.padEnd(14)}${value}`)
  console.log(`${file} is whole.`)
  row('cluster', cluster)
  row('taken', new Date(takenAtMs).toISOString())
  row('up to', `entry ${index} (term ${term})`)
  row('members', members.join(', '))
  row('transactions', `${open} open, ${finished} finished`)
  row('size', describeBytes(bytes))
  row('digest', digest)
}
