import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { pino } from 'pino'
import { toError } from '../base/index.ts'
import type { KvStatus } from '../kv/index.ts'
import { ConfigError, parseAddress } from '../server/asking/index.ts'
import { stdoutColors } from '../terminal/index.ts'
import { armFromEnvironment } from './armed-failpoint.ts'
import { addTlsOptions, askOptions, type CoordinatorFlags, wholeNumber } from './coordinator-option.ts'
import { describeBytes, describeMs, ExitCode, printError, printJson, printTable } from './output.ts'
import { stopRequest } from './stop-request.ts'

interface RunFlags {
  readonly config: string
  readonly logLevel?: string
}

interface StatusFlags extends Omit<CoordinatorFlags, 'coordinators'> {
  readonly address: string
}

/** `concordat participant …`: the built-in participant. */
export function addParticipantCommand(program: Command): void {
  const participant = program.command('participant').description('the built-in key-value participant')
  participant
    .command('kv')
    .description('run one key-value participant')
    .requiredOption('--config <file>', 'YAML configuration')
    .option('--log-level <level>', 'debug, info, warn, error or silent')
    .action(run)
  addTlsOptions(participant.command('status'))
    .description('what is at work and in doubt at a key-value participant, and whom it blocks')
    .addOption(
      new Option('-a, --address <host:port>', 'the participant to ask').default('127.0.0.1:7500').argParser(oneAddress),
    )
    .addOption(new Option('--timeout <ms>', 'how long to wait for the answer').default(3_000).argParser(wholeNumber))
    .option('--json', 'print one line of JSON for machines')
    .action(showStatus)
}

/** Runs until SIGTERM or SIGINT, which end with 0, or until log or data fail. */
async function run({ config: file, logLevel }: RunFlags): Promise<void> {
  const levels = logLevel === undefined ? [] : [{ path: ['log', 'level'], value: logLevel, flag: '--log-level' }]
  const [{ keyValueParticipant, kvConfigSchema, optionsOf }, { loadConfigAs }] = await Promise.all([
    import('../participant/index.ts'),
    import('../server/index.ts'),
  ])
  const config = loadConfigAs(kvConfigSchema, file, levels)
  const logger = pino({ level: config.log.level, base: { cluster: config.cluster, participant: config.name } })
  armFromEnvironment(process.env, (message) => logger.warn(message))
  // Before the start, which takes a moment: a request to stop that comes meanwhile must not be lost.
  const stopped = stopRequest()
  const participant = await keyValueParticipant({ ...optionsOf(config, readPem), logger })
  const ending = await Promise.race([stopped.then((why) => ({ why })), participant.failed.then((error) => ({ error }))])
  if ('error' in ending) {
    logger.fatal({ err: ending.error }, 'this participant can not go on; its process ends')
    printError(ending.error)
    // Fail-stop: open sockets would keep the process alive, and applications waiting for answers that never come.
    process.exit(ExitCode.failed)
  }
  logger.info({ why: ending.why }, 'stopping: no new branches are taken')
  await participant.close()
  logger.info('stopped')
  // An open channel to the supervisor would keep the process alive.
  if (process.connected) process.disconnect()
}

function readPem(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError(`tls.${key}: ${file} can't be read (${toError(cause).message})`, { cause })
  }
}

async function showStatus(flags: StatusFlags): Promise<void> {
  const { askKvStatus } = await import('../kv/index.ts')
  const status = await askKvStatus(parseAddress(flags.address), askOptions(flags))
  if (flags.json) printJson(status)
  else print(status)
}

function print(status: KvStatus): void {
  const { name, cluster, uptimeMs, connections, open, transactions, log, residentBytes, inDoubt, inDoubtCount } = status
  console.log(stdoutColors.bold(`${name}, a key-value participant of ${cluster}, up for ${describeMs(uptimeMs)}`))
  console.log(
    `  at work: ${open} branches of ${connections} connections; ${transactions} transactions hold or want locks`,
  )
  console.log(
    `  log: ${describeBytes(log.bytesOnDisk)} on disk${log.spaceLow ? stdoutColors.red(', DISK FULL: no new branches') : ''}; memory: ${describeBytes(residentBytes)}`,
  )
  if (inDoubtCount === 0) {
    console.log('  in doubt: none')
    return
  }
  console.log('')
  printTable(
    ['IN DOUBT', 'BRANCH', 'FOR', 'KEYS', 'LOCKS', 'BLOCKS'],
    inDoubt.map(({ txid, branch, ageMs, keys, locks, blocks, blocksCount }) => [
      txid,
      String(branch),
      describeMs(ageMs),
      String(keys),
      String(locks),
      blocksCount === 0
        ? '-'
        : [...blocks, ...(blocksCount > blocks.length ? [`… ${blocksCount} in all`] : [])].join(' '),
    ]),
  )
  if (inDoubt.length < inDoubtCount) console.log(`… and ${inDoubtCount - inDoubt.length} more, with later votes`)
  console.log('What the coordinators decided: concordat outcome TXID')
}

function oneAddress(text: string): string {
  try {
    parseAddress(text)
    return text
  } catch (error) {
    throw new InvalidArgumentError(toError(error).message)
  }
}
