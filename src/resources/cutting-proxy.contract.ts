import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** A TCP proxy before a database that cuts a connection at the worst moment: after a statement, before its answer. */
export class CuttingProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #stallAt: string | undefined
  #cutAt: { readonly text: string; readonly isForwarded: boolean } | undefined

  private constructor(targetPort: number) {
    this.#server = createServer((client) => this.#join(client, targetPort))
  }

  static async start(targetPort: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(targetPort)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** The next connection to send `text` is cut: when the server's answer comes (`answer`), or before the text leaves (`request`). */
  cutAt(text: string, lost: 'answer' | 'request'): void {
    this.#cutAt = { text, isForwarded: lost === 'answer' }
  }

  /** The next connection to send `text` falls silent for ever, and stays open: a machine that lost its power. */
  stallAt(text: string): void {
    this.#stallAt = text
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }

  #join(client: Socket, targetPort: number): void {
    const target = connect(targetPort, '127.0.0.1')
    let isDoomed = false
    let isSilent = false
    const end = (): void => {
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', end)
    }
    client.on('data', (chunk) => {
      if (this.#stallAt !== undefined && chunk.includes(this.#stallAt)) {
        this.#stallAt = undefined
        isSilent = true
      }
      if (isSilent) return
      const cut = this.#cutAt
      if (cut !== undefined && chunk.includes(cut.text)) {
        this.#cutAt = undefined
        isDoomed = true
        if (!cut.isForwarded) return end()
      }
      target.write(chunk)
    })
    target.on('data', (chunk) => (isDoomed ? end() : client.write(chunk)))
  }
}
