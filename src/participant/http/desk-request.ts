import { SERVICE_PATHS, type ServiceOperation } from '../../api/index.ts'

/** A request, whatever framework it came through. */
export interface DeskRequest {
  readonly method: string
  /** With or without scheme, host and the path under which the framework offers it. */
  readonly url: string
  readonly body: Uint8Array
  /** @param name in lower case */
  readonly header: (name: string) => string | undefined
}

const TARGET = /\/v1\/[a-z-]+(\?.*)?$/

/** From `/v1` on, with the query: what a signature covers. Undefined when it is no question of ours. */
export function targetOf(url: string): string | undefined {
  return TARGET.exec(url)?.[0]
}

/** What is asked. */
export function operationOf(method: string, target: string): ServiceOperation | undefined {
  const [path] = target.split('?')
  const found = (Object.keys(SERVICE_PATHS) as ServiceOperation[]).find((key) => SERVICE_PATHS[key] === path)
  return found !== undefined && method === (found === 'inDoubt' ? 'GET' : 'POST') ? found : undefined
}
