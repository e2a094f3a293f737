import type { HttpExchange, HttpPlace, HttpRequest, HttpResponse } from '../../server/index.ts'
import type { SimProcess } from '../kernel/types.ts'

/** How the coordinators show who they are. No signature: it would tell the time, and clocks here jump by an hour. */
export const SERVICE_CREDENTIALS = { token: 'a-token-of-the-simulated-world' } as const

/** What goes wrong between coordinators and services. Each is the chance of a call. */
export interface HttpChaos {
  readonly requestLost: number
  readonly answerLost: number
  /** A proxy says 502, and the service may have heard the question all the same. */
  readonly badGateway: number
  /** A proxy asks twice. */
  readonly twice: number
}

export const HTTP_CALM: HttpChaos = { requestLost: 0, answerLost: 0, badGateway: 0, twice: 0 }

/** What goes over a channel in place of bytes. */
type Wire = Pick<HttpRequest, 'method' | 'target' | 'headers' | 'body'>

interface Question {
  readonly method: string
  readonly url: string
  readonly body: Uint8Array
  readonly header: (name: string) => string | undefined
}

/** HTTP between simulated machines: a connection for each call, and proxies between that have bad days. */
export class SimHttpExchange implements HttpExchange {
  readonly #process: SimProcess
  readonly #place: HttpPlace
  readonly #chaos: () => HttpChaos
  readonly #mark: (name: string) => void

  constructor(process: SimProcess, place: HttpPlace, chaos: () => HttpChaos, mark: (name: string) => void) {
    this.#process = process
    this.#place = place
    this.#chaos = chaos
    this.#mark = mark
  }

  async send({ method, target, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
    const { channels } = this.#process
    const fate = this.#fate()
    if (fate !== 'done') this.#mark(`http: ${fate}`)
    const channel = await channels.connect(this.#place.url)
    return new Promise((resolve, reject) => {
      const end = (): void => channel.close()
      const fail = (what: string): void => {
        end()
        reject(new Error(what))
      }
      if (signal.aborted) return fail('nobody waits any more')
      signal.addEventListener('abort', () => fail('nobody waits any more'), { once: true })
      channel.onMessage = (value) => {
        if (fate === 'answerLost') return
        end()
        const lost = { status: 502, headers: { 'content-type': 'text/html' }, text: '<h1>Bad gateway</h1>' }
        resolve(fate === 'badGateway' ? lost : (value as HttpResponse))
      }
      channel.onClose = (error) => reject(error ?? new Error('its answer broke off'))
      const wire: Wire = { method, target, headers, body }
      if (fate !== 'requestLost') channel.send(wire)
      if (fate === 'twice') channel.send(wire)
    })
  }

  close(): void {}

  #fate(): keyof HttpChaos | 'done' {
    const { random } = this.#process
    const chaos = this.#chaos()
    for (const fate of ['requestLost', 'answerLost', 'badGateway', 'twice'] as const) {
      if (chaos[fate] > 0 && random.chance(chaos[fate])) return fate
    }
    return 'done'
  }
}

/** A service's port. */
export function serveHttp(
  process: SimProcess,
  url: string,
  answer: (question: Question) => Promise<{ readonly status: number; readonly body: object }>,
): void {
  process.channels.listen(url, (channel) => {
    channel.onMessage = async (value) => {
      const { method, target, headers, body } = value as Wire
      const header = (name: string): string | undefined => {
        const found = Object.entries(headers).find(([key]) => key.toLowerCase() === name)
        return found === undefined ? undefined : String(found[1])
      }
      const { status, body: said } = await answer({ method, url: target, body: Buffer.from(body), header })
      const response: HttpResponse = {
        status,
        headers: { 'content-type': 'application/json' },
        text: JSON.stringify(said),
      }
      channel.send(response)
    }
  })
}
