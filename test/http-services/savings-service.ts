import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import fastify from 'fastify'
import { BRANCH_HEADER, ConcordatError, httpParticipant } from '../../src/participant/http/index.ts'

/** What a test tells a service that keeps savings: credits, each a file, `aside` until the branch is committed. */
export interface SavingsOrders {
  readonly clusterId: string
  readonly port: number
  readonly secret: string
  readonly journal: string
  readonly store: string
}

const { clusterId, port, secret, journal, store } = JSON.parse(process.argv[2] ?? '') as SavingsOrders

const aside = (gid: string): string => join(store, 'aside', gid)
const booked = (gid: string): string => join(store, 'booked', gid)

function unlessMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

const savings = await httpParticipant({
  name: 'savings',
  clusterId,
  journal,
  credentials: { secret },
  prepare({ gid }) {
    if (!existsSync(aside(gid))) throw new Error('nothing was set aside')
  },
  commit: ({ gid }) => rename(aside(gid), booked(gid)).catch(unlessMissing),
  abort: ({ gid }) => rm(aside(gid), { force: true }),
})

/** All of it or nothing, and on disk. */
async function setAside(gid: string, amount: string): Promise<void> {
  const unfinished = join(store, `${gid}.new`)
  const file = await open(unfinished, 'w')
  await file.writeFile(amount)
  await file.sync()
  await file.close()
  await rename(unfinished, aside(gid))
}

const app = fastify()
await app.register(savings.fastify(), { prefix: '/concordat' })
app.post('/credit', async (request, reply) => {
  try {
    const { amount } = request.body as { readonly amount: number }
    await savings.work(String(request.headers[BRANCH_HEADER]), ({ gid }) => setAside(gid, String(amount)))
    return { done: 'set aside' }
  } catch (error) {
    return reply.code(error instanceof ConcordatError ? 409 : 500).send(String(error))
  }
})
app.get('/balance', async () => {
  const files = readdirSync(join(store, 'booked'))
  return files.reduce((sum, file) => sum + Number(readFileSync(booked(file), 'utf8')), 0)
})
app.get('/open', async () => savings.open())
await app.listen({ host: '127.0.0.1', port })
console.log(port)
