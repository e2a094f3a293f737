import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Document, isMap, isNode, LineCounter, parseDocument } from 'yaml'
import type { z } from 'zod'
import { toError } from '../base/index.ts'
import { configSchema, type ServerConfig } from './config.ts'
import { ConfigError } from './config-error.ts'

type Path = readonly PropertyKey[]

/** Values that flags set over the file's: `['raft', 'heartbeatMs']` → 50. */
export type Override = { readonly path: readonly string[]; readonly value: unknown; readonly flag: string }

/**
 * Reads and checks a YAML configuration. `${NAME}` in any text is taken from the environment;
 * relative paths (data, tls) are relative to the file.
 *
 * @param file undefined when flags say everything
 * @throws ConfigError naming every mistake, not only the first
 */
export function loadConfig(
  file: string | undefined,
  overrides: readonly Override[] = [],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ServerConfig {
  const config = loadConfigAs(configSchema, file, overrides, environment)
  const absolute = (path: string): string => resolve(baseOf(file), path)
  const participants = config.participants.map((each) =>
    each.ca === undefined ? each : { ...each, ca: absolute(each.ca) },
  )
  return { ...config, participants }
}

/** The same, for another program's configuration. @throws ConfigError */
export function loadConfigAs<Config extends ConfigWithPaths>(
  schema: z.ZodType<Config>,
  file: string | undefined,
  overrides: readonly Override[] = [],
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const source = file === undefined ? new ConfigSource('flags', '') : new ConfigSource(file, readText(file))
  for (const override of overrides) source.override(override)
  const input = substitute(source.value(), [], environment, source)
  const result = schema.safeParse(input)
  if (!result.success) throw source.error(result.error.issues)
  return withAbsolutePaths(result.data, baseOf(file))
}

/** What relative paths are relative to. */
function baseOf(file: string | undefined): string {
  return file === undefined ? process.cwd() : dirname(resolve(file))
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError(`${file} can't be read (${toError(cause).message}); check the path and its rights`, { cause })
  }
}

/** A parsed document that can tell where a key stands. */
class ConfigSource {
  readonly #name: string
  readonly #lines = new LineCounter()
  readonly #document: Document
  readonly #flags = new Map<string, string>()

  constructor(name: string, text: string) {
    this.#name = name
    this.#document = parseDocument(text, { lineCounter: this.#lines })
    const [mistake] = this.#document.errors
    if (mistake !== undefined) throw new ConfigError(`${name}: ${mistake.message}`, { cause: mistake })
    if (this.#document.contents === null) this.#document.contents = this.#document.createNode({})
    if (!isMap(this.#document.contents))
      throw new ConfigError(`${name}: expected keys and values, such as "cluster: trips"`)
  }

  override({ path, value, flag }: Override): void {
    this.#document.setIn(path, this.#document.createNode(value))
    this.#flags.set(path.join('.'), flag)
  }

  value(): unknown {
    return this.#document.toJS()
  }

  error(
    issues: readonly {
      readonly path: Path
      readonly message: string
      readonly code?: string
      readonly keys?: readonly string[]
    }[],
  ): ConfigError {
    const lines = issues.flatMap((issue) => {
      if (issue.keys === undefined) return [this.#describe(issue.path, inPlainWords(issue.message))]
      return issue.keys.map((key) =>
        this.#describe([...issue.path, key], 'is not a key that this version knows; check the spelling'),
      )
    })
    const head = `the configuration has ${lines.length === 1 ? 'a mistake' : `${lines.length} mistakes`}, so nothing was started:`
    return new ConfigError([head, ...lines.map((line) => `  ${line}`)].join('\n'))
  }

  #describe(path: Path, message: string): string {
    const key = path
      .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
      .join('')
      .replace(/^\./, '')
    return `${this.#where(path)}: ${key || 'the file'}: ${message}`
  }

  /** `file:line:column` of the key, or of the nearest thing around it that is written down. */
  #where(path: Path): string {
    const flag = this.#flags.get(path.map(String).join('.'))
    if (flag !== undefined) return flag
    for (let depth = path.length; depth > 0; depth--) {
      const offset = this.#offsetOf(path.slice(0, depth))
      if (offset === undefined) continue
      const { line, col } = this.#lines.linePos(offset)
      return `${this.#name}:${line}:${col}`
    }
    return this.#name
  }

  #offsetOf(path: Path): number | undefined {
    const parent = this.#document.getIn(path.slice(0, -1), true)
    const last = path.at(-1)
    if (isMap(parent)) {
      const pair = parent.items.find((item) => isNode(item.key) && String(item.key) === String(last))
      if (pair !== undefined && isNode(pair.key)) return pair.key.range?.[0]
    }
    const node = this.#document.getIn(path, true)
    return isNode(node) ? node.range?.[0] : undefined
  }
}

/** The schema's words for a key that is not there. */
const ABSENT = /^Invalid input: expected (.+), received undefined$/

function inPlainWords(message: string): string {
  return message.replace(ABSENT, 'is missing; give it in the file or by its flag (expected: $1)')
}

/** Replaces `${NAME}` in every text. */
function substitute(
  value: unknown,
  path: readonly PropertyKey[],
  environment: Readonly<Record<string, string | undefined>>,
  source: ConfigSource,
): unknown {
  if (typeof value === 'string') {
    return value.replace(/\$\{(\w+)\}/g, (_, name: string) => {
      const found = environment[name]
      if (found !== undefined) return found
      throw source.error([{ path, message: `the environment variable ${name} is not set` }])
    })
  }
  if (Array.isArray(value)) return value.map((item, index) => substitute(item, [...path, index], environment, source))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, substitute(item, [...path, key], environment, source)]),
  )
}

/** The keys that are paths. */
interface ConfigWithPaths {
  readonly data: string
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string | undefined } | undefined
}

function withAbsolutePaths<Config extends ConfigWithPaths>(config: Config, base: string): Config {
  const { tls } = config
  return {
    ...config,
    data: resolve(base, config.data),
    ...(tls === undefined
      ? {}
      : {
          tls: {
            key: resolve(base, tls.key),
            cert: resolve(base, tls.cert),
            ...(tls.ca === undefined ? {} : { ca: resolve(base, tls.ca) }),
          },
        }),
  }
}
