import type { Endpoint } from '../transport/index.ts'
import { ConfigError } from './config-error.ts'

/**
 * The parts of `host:port`; an IPv6 host stands in brackets.
 *
 * @throws ConfigError when `text` is no such thing
 */
export function parseAddress(text: string): Endpoint {
  const match = /^(?:\[([0-9A-Fa-f:]+)\]|([^:\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535)
    throw new ConfigError(`${JSON.stringify(text)} is not an address; write host:port, for example 10.0.0.1:7400`)
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Whether only this machine can reach `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
