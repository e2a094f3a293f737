import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { toError } from '../base/index.ts'
import { type AskOptions, parseAddress } from '../server/asking/index.ts'

/** What every command that asks coordinators takes. */
export interface CoordinatorFlags {
  readonly coordinators: readonly string[]
  readonly timeout: number
  readonly json?: boolean
  readonly tlsCa?: Buffer
  readonly tlsCert?: Buffer
  readonly tlsKey?: Buffer
}

/** Adds `--coordinators`, `--timeout`, `--json` and what TLS needs. */
export function addCoordinatorOptions(command: Command): Command {
  return addTlsOptions(command)
    .addOption(
      new Option('-c, --coordinators <host:port,…>', 'the coordinators to ask')
        .env('CONCORDAT_COORDINATORS')
        .default(['127.0.0.1:7400'], '127.0.0.1:7400')
        .argParser(addresses),
    )
    .addOption(new Option('--timeout <ms>', 'how long to wait for each answer').default(3_000).argParser(wholeNumber))
    .option('--json', 'print one line of JSON for machines')
}

/** Adds what TLS needs. */
export function addTlsOptions(command: Command): Command {
  return command
    .addOption(pemOption('--tls-ca <file>', 'speak TLS, and trust coordinators that this authority signed', 'TLS_CA'))
    .addOption(pemOption('--tls-cert <file>', 'own certificate, for mutual TLS', 'TLS_CERT'))
    .addOption(pemOption('--tls-key <file>', 'its private key', 'TLS_KEY'))
}

function pemOption(flag: string, text: string, variable: string): Option {
  return new Option(flag, `${text} (PEM)`).env(`CONCORDAT_${variable}`).argParser((path) => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw new InvalidArgumentError(`It can't be read (${toError(error).message}).`)
    }
  })
}

/** The part of the flags that concerns the connection. */
export function askOptions({ timeout, tlsCa, tlsCert, tlsKey }: Omit<CoordinatorFlags, 'coordinators'>): AskOptions {
  const tls = {
    ...(tlsCa === undefined ? {} : { ca: tlsCa }),
    ...(tlsCert === undefined ? {} : { cert: tlsCert }),
    ...(tlsKey === undefined ? {} : { key: tlsKey }),
  }
  return Object.keys(tls).length === 0 ? { timeoutMs: timeout } : { timeoutMs: timeout, tls }
}

/** A flag's whole number, from 1. */
export function wholeNumber(text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= 1) return value
  throw new InvalidArgumentError('It must be a whole number, at least 1.')
}

function addresses(text: string): readonly string[] {
  const found = text.split(',').map((address) => address.trim())
  for (const address of found) {
    try {
      parseAddress(address)
    } catch (error) {
      throw new InvalidArgumentError(toError(error).message)
    }
  }
  return found
}
