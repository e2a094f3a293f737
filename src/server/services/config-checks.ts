import { z } from 'zod'
import { isLoopback } from '../address.ts'

/** Where a service is called: nothing but scheme, host, port and path. */
export const serviceUrl = z.string().transform((text, context): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url !== undefined && isPlain(url)) return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
  const message =
    'expected a URL such as https://payments.internal:8443/concordat, without user, password, query or fragment'
  context.addIssue({ code: 'custom', message })
  return z.NEVER
})

function isPlain(url: URL): boolean {
  const hasMore = url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== ''
  return /^https?:$/.test(url.protocol) && !hasMore
}

interface HttpKeys {
  readonly url: readonly string[]
  readonly secret?: string | undefined
  readonly token?: string | undefined
  readonly ca?: string | undefined
  readonly plainHttp: boolean
}

/** What the keys of one service that is called must be to each other. */
export function checkHttp({ url, secret, token, ca, plainHttp }: HttpKeys, context: z.RefinementCtx): void {
  const mistake = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
  if (secret !== undefined && token !== undefined) mistake('token', 'give a secret or a token, not both')
  for (const [key, value] of Object.entries({ secret, token, ca })) {
    if (value !== undefined && url.length === 0) mistake(key, 'is only for services that are called at a url')
  }
  if (new Set(url).size < url.length) mistake('url', 'an instance is named twice')
  for (const each of url.map((text) => new URL(text))) {
    if (each.protocol === 'http:' && ca !== undefined) mistake('ca', 'is only for https URLs')
    if (each.protocol !== 'http:' || plainHttp || isLoopback(each.hostname.replace(/^\[|\]$/g, ''))) continue
    mistake(
      'url',
      `without TLS a service is called on loopback only, and ${each.host} is not; use https, or set plainHttp when the network between is trusted`,
    )
  }
}
