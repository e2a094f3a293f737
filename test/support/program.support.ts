import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const COMPILED = join(root, 'dist/cli/main.js')

let checked = false

/**
 * The compiled `concordat` program. These tests run what users run, so an old build would prove nothing.
 *
 * @throws Error when `src` was changed after the last build
 */
export function program(): string {
  if (!checked && builtMs() < newestMs(join(root, 'src'))) {
    throw new Error('dist is missing or older than src: run `npm test`, which builds first, or `npm run build`')
  }
  checked = true
  return COMPILED
}

function builtMs(): number {
  return statSync(COMPILED, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

function newestMs(folder: string): number {
  let newest = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) newest = Math.max(newest, newestMs(path))
    else if (!/\.(test|contract|support|test-support)\.ts$/.test(path))
      newest = Math.max(newest, statSync(path).mtimeMs)
  }
  return newest
}

/** What a command came to. */
export interface CommandEnd {
  /** `null` when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** A program to run instead of `concordat` itself: `concordat` and its arguments follow it. */
  readonly through?: readonly string[]
}

/** Longer than any command of these tests may take; then it is killed and the test fails by its exit code. */
const COMMAND_MS_MAX = 30_000

/** Runs `concordat` with these arguments, not at a terminal, until it ends. */
export async function concordat(args: readonly string[], options: CommandOptions = {}): Promise<CommandEnd> {
  const [command = '', ...rest] = [...(options.through ?? []), process.execPath, program(), ...args]
  const child = spawn(command, rest, {
    env: { ...plainEnvironment(), ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MS_MAX,
    killSignal: 'SIGKILL',
  })
  const words = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      words[name] += chunk
    })
  }
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, ...words }
}

/** The environment of an ordinary shell: nothing of the test runner's may steer the program. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const { FORCE_COLOR, NO_COLOR, NODE_OPTIONS, CONCORDAT_COORDINATORS, VITEST, NODE_ENV, ...rest } = process.env
  // With CI set, libraries guess that colours are wanted in pipes: ours must not.
  return { ...rest, CI: 'true' }
}
