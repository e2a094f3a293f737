import { type Command, Option } from 'commander'
import { pino } from 'pino'
import type { Override, ServerConfig } from '../server/index.ts'
import { armFromEnvironment } from './armed-failpoint.ts'
import { ExitCode, printError } from './output.ts'
import { stopRequest } from './stop-request.ts'

/** A flag that sets one key of the configuration. */
interface ConfigFlag {
  readonly flag: string
  /** Left out: the flag is a switch. */
  readonly argument?: string
  readonly path: readonly string[]
  readonly text: string
  readonly parse?: (text: string) => unknown
}

/** As the command line gives them. */
type Flags = Readonly<Record<string, string | true | undefined>>

const CONFIG_FLAGS: readonly ConfigFlag[] = [
  { flag: '--cluster', argument: '<id>', path: ['cluster'], text: 'name of the fleet' },
  { flag: '--node', argument: '<n>', path: ['node'], text: "this coordinator's number", parse: toNumber },
  { flag: '--data', argument: '<directory>', path: ['data'], text: 'where its promises are kept' },
  {
    flag: '--listen',
    argument: '<host:port>',
    path: ['listen'],
    text: "where to listen, when not at this member's address",
  },
  {
    flag: '--members',
    argument: '<id=host:port,…>',
    path: ['members'],
    text: 'all coordinators of a new fleet, this one included; with --join, some that are there already',
    parse: toMembers,
  },
  {
    flag: '--join',
    path: ['join'],
    text: 'with an empty directory: wait to be added to a fleet that is there already',
  },
  {
    flag: '--resources',
    argument: '<name=url,…>',
    path: ['resources'],
    text: 'databases whose branches are settled',
    parse: toResources,
  },
  { flag: '--tls-key', argument: '<file>', path: ['tls', 'key'], text: 'private key (PEM)' },
  { flag: '--tls-cert', argument: '<file>', path: ['tls', 'cert'], text: 'certificate (PEM)' },
  { flag: '--tls-ca', argument: '<file>', path: ['tls', 'ca'], text: 'authority that others must be signed by (PEM)' },
  { flag: '--heartbeat-ms', argument: '<ms>', path: ['raft', 'heartbeatMs'], text: 'Raft heartbeat', parse: toNumber },
  {
    flag: '--election-timeout-ms',
    argument: '<ms>',
    path: ['raft', 'electionTimeoutMs'],
    text: 'Raft election timeout (drawn up to twice as long)',
    parse: toNumber,
  },
  {
    flag: '--open-max',
    argument: '<n>',
    path: ['transactions', 'openMax'],
    text: 'open transactions at most',
    parse: toNumber,
  },
  {
    flag: '--client-open-max',
    argument: '<n>',
    path: ['clients', 'openMax'],
    text: 'open transactions of one application at most',
    parse: toNumber,
  },
  {
    flag: '--client-branches-max',
    argument: '<n>',
    path: ['clients', 'branchesMax'],
    text: 'branches of its open transactions at most',
    parse: toNumber,
  },
  {
    flag: '--client-bytes-max',
    argument: '<n>',
    path: ['clients', 'bytesMax'],
    text: 'bytes of its open transactions at most',
    parse: toNumber,
  },
  {
    flag: '--keep-ms',
    argument: '<ms>',
    path: ['transactions', 'keepMs'],
    text: 'how long outcomes are remembered',
    parse: toNumber,
  },
  {
    flag: '--keep-count',
    argument: '<n>',
    path: ['transactions', 'keepCount'],
    text: 'how many outcomes are remembered',
    parse: toNumber,
  },
  {
    flag: '--scan-ms',
    argument: '<ms>',
    path: ['resolver', 'scanMs'],
    text: 'how often databases are scanned for branches left behind',
    parse: toNumber,
  },
  {
    flag: '--grace-ms',
    argument: '<ms>',
    path: ['resolver', 'graceMs'],
    text: 'how long a branch may be in doubt before the resolver acts',
    parse: toNumber,
  },
  {
    flag: '--snapshot-bytes',
    argument: '<n>',
    path: ['snapshots', 'bytes'],
    text: 'bytes of log after which a snapshot is taken',
    parse: toNumber,
  },
  {
    flag: '--snapshot-entries',
    argument: '<n>',
    path: ['snapshots', 'entries'],
    text: 'entries of log after which a snapshot is taken',
    parse: toNumber,
  },
  {
    flag: '--tail-bytes',
    argument: '<n>',
    path: ['snapshots', 'tailBytes'],
    text: 'bytes of log kept behind a snapshot, for slow followers',
    parse: toNumber,
  },
  {
    flag: '--tail-entries',
    argument: '<n>',
    path: ['snapshots', 'tailEntries'],
    text: 'entries of log kept behind a snapshot, for slow followers',
    parse: toNumber,
  },
  { flag: '--log-level', argument: '<level>', path: ['log', 'level'], text: 'debug, info, warn, error or silent' },
]

/** The resolver has nothing to look into then, and nothing else would ever say so. */
const NO_RESOURCES =
  'no databases are configured (resources): while this coordinator leads, nobody settles the branches that an application leaves in doubt. Give every coordinator of the fleet the same resources'

/** `concordat serve`: one coordinator. */
export function addServeCommand(program: Command): void {
  const command = program
    .command('serve')
    .description('run one coordinator of a fleet')
    .option('--config <file>', 'YAML configuration; flags win over it')
  for (const { flag, argument, text } of CONFIG_FLAGS)
    command.addOption(new Option(argument === undefined ? flag : `${flag} ${argument}`, text))
  command.action(async (flags: Flags) => {
    const { config, ...overrides } = flags
    const { loadConfig } = await import('../server/index.ts')
    await serve(loadConfig(config === undefined ? undefined : String(config), overridesOf(overrides)))
  })
}

function overridesOf(flags: Flags): readonly Override[] {
  return CONFIG_FLAGS.flatMap(({ flag, path, parse }) => {
    const given = flags[toCamelCase(flag)]
    return given === undefined ? [] : [{ flag, path, value: parse === undefined ? given : parse(String(given)) }]
  })
}

/** Runs until SIGTERM or SIGINT, which drain and end with 0, or until a fatal error. */
async function serve(config: ServerConfig): Promise<void> {
  const logger = pino({ level: config.log.level, base: { cluster: config.cluster, node: config.node } })
  armFromEnvironment(process.env, (message) => logger.warn(message))
  // Before the start, which takes a moment: a request to stop that comes meanwhile must not be lost.
  const stopped = stopRequest()
  const { CoordinatorServer } = await import('../server/index.ts')
  const server = await CoordinatorServer.start(config, logger)
  const isCalling = config.participants.some(({ url }) => url.length > 0)
  if (config.resources.length === 0 && !isCalling) logger.warn(NO_RESOURCES)
  const ending = await Promise.race([stopped.then((why) => ({ why })), server.failed.then((error) => ({ error }))])
  if ('error' in ending) {
    logger.fatal({ err: ending.error }, 'this coordinator can not go on; its process ends')
    printError(ending.error)
    // Fail-stop: open sockets would keep the process alive, and its clients waiting for answers that never come.
    process.exit(ExitCode.failed)
  }
  logger.info({ why: ending.why }, 'stopping: no new transactions are taken')
  await server.stop()
  logger.info('stopped')
  // An open channel to the supervisor would keep the process alive.
  if (process.connected) process.disconnect()
}

function toCamelCase(flag: string): string {
  return flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** Text that is no number stays text: the schema then says what was expected, and names the flag. */
function toNumber(text: string): unknown {
  return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
}

function toMembers(text: string): unknown {
  return text.split(',').map((each) => {
    const [id = '', address = ''] = each.split('=')
    return { id: toNumber(id), address }
  })
}

/** The kind follows from the URL's scheme. */
function toResources(text: string): unknown {
  return text.split(',').map((each) => {
    const [name = '', ...rest] = each.split('=')
    const url = rest.join('=')
    return { name, kind: /^(mysql|mariadb):/.test(url) ? 'mysql' : 'postgres', url }
  })
}
