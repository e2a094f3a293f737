import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ServiceCredentials } from '../../api/index.ts'
import { toError } from '../../base/index.ts'
import type { ResolverParts } from '../../coordinator/index.ts'
import type { ServerConfig } from '../config.ts'
import { ConfigError } from '../config-error.ts'
import type { Inspected } from '../in-doubt-desk.ts'
import type { ParticipantRegistry } from '../participant-registry.ts'
import type { ChosenSeams } from '../seams.ts'
import type { ServerLogger } from '../server-logger.ts'
import { HttpInDoubt } from './http-in-doubt.ts'
import { HttpInstance, type HttpInstanceParts } from './http-instance.ts'
import { HttpService } from './http-service.ts'

/** One configured URL. */
interface OpenedService {
  readonly service: HttpService
  readonly concurrency: number
  /** What the resolver and operators call it. */
  readonly label: string
}

/**
 * The services of the configuration that are called at URLs: these and no others, ever (nothing that comes over the
 * network names a URL). Nothing connects yet.
 *
 * @throws ConfigError when a certificate authority's file can't be read
 */
export function openHttpServices(
  config: ServerConfig,
  { clock, httpExchange: exchange }: Pick<ChosenSeams, 'clock' | 'httpExchange'>,
): readonly OpenedService[] {
  return config.participants.flatMap((configured, index) => {
    const { name, url: urls, timeoutMs, concurrency } = configured
    const ca = configured.ca === undefined ? undefined : readCa(configured.ca, index)
    const shared = {
      name,
      clusterId: config.cluster,
      credentials: credentialsOf(configured),
      ca,
      timeoutMs,
      clock,
      exchange,
    }
    return urls.map((url) => ({
      // PREPAREs, decisions, and the list.
      service: new HttpService({ ...shared, url, idleMax: 2 * concurrency + 1 }),
      concurrency,
      label: urls.length === 1 ? name : `${name} at ${url}`,
    }))
  })
}

/** What they need of their server. */
export interface HttpServicesParts extends Pick<HttpInstanceParts, 'coordinator'> {
  readonly registry: ParticipantRegistry
  readonly logger: ServerLogger
}

/** The instances behind URLs, in the registry beside those that connect by themselves. */
export class HttpServices {
  /** For the resolver: how it finds what is left behind in each. */
  readonly inDoubt: ResolverParts['resources']
  /** The same, for those who ask what is in doubt. */
  readonly inspected: readonly Inspected[]
  readonly #instances: readonly HttpInstance[]

  constructor(opened: readonly OpenedService[], { coordinator, registry, logger }: HttpServicesParts) {
    this.inDoubt = opened.map(({ service, label }) => ({ name: label, port: new HttpInDoubt(service) }))
    this.inspected = this.inDoubt.map(({ name, port }) => ({ name, kind: 'service', inDoubt: port }))
    this.#instances = opened.map(({ service, concurrency }) => {
      const instance = new HttpInstance({ service, coordinator, book: registry, logger, concurrency })
      registry.enter(service.name, instance)
      return instance
    })
  }

  /** Calls nobody any more. */
  close(): void {
    for (const instance of this.#instances) instance.close()
  }
}

function credentialsOf({ secret, token }: ServerConfig['participants'][number]): ServiceCredentials {
  if (secret !== undefined) return { secret }
  return token === undefined ? 'none' : { token }
}

function readCa(file: string, index: number): string {
  try {
    const pem = readFileSync(file, 'utf8')
    // Node takes a file without certificates for "no authority", and every call would fail later.
    new X509Certificate(pem)
    return pem
  } catch (cause) {
    throw new ConfigError(`participants[${index}].ca: ${file} can't be read (${toError(cause).message})`, { cause })
  }
}
