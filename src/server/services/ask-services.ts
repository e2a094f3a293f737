import { systemClock, toError } from '../../base/index.ts'
import type { ServerConfig } from '../config.ts'
import { openHttpServices } from './http-services.ts'

/** What came of asking a service for its list of branches. */
export interface ServiceAnswer {
  /** The service's name; with its URL when it has several. */
  readonly label: string
  readonly url: string
  /** Branches that may be settled now; undefined when it does not answer. */
  readonly due: number | undefined
  /** Why there is no answer that counts, in words. */
  readonly error: string | undefined
}

/**
 * Asks every configured URL as a coordinator would, from this machine, once.
 *
 * @throws ConfigError when a certificate authority's file can't be read
 */
export function askServices(config: ServerConfig): Promise<readonly ServiceAnswer[]> {
  const opened = openHttpServices(config, { clock: systemClock, httpExchange: undefined })
  return Promise.all(
    opened.map(async ({ service, label }) => {
      const { url } = service
      try {
        return { label, url, due: (await service.inDoubt()).length, error: undefined }
      } catch (thrown) {
        return { label, url, due: undefined, error: toError(thrown).message }
      } finally {
        service.close()
      }
    }),
  )
}
