import { createHash, createHmac, timingSafeEqual } from 'node:crypto'

/** The header with the signature of a request: `t=<seconds since 1970>,v1=<64 hex digits>`. */
export const SIGNATURE_HEADER = 'concordat-signature'

/** A signature older or younger than this is refused: so far the clocks of both sides may differ. */
export const SIGNATURE_SECONDS_MAX = 300

/** How coordinators and a service know each other: a shared secret that signs each request, or a bearer token. */
export type ServiceCredentials = { readonly secret: string } | { readonly token: string } | 'none'

/** What a signature covers. */
export interface SignedRequest {
  readonly method: string
  /** From the protocol's version on, with the query: `/v1/in-doubt?cluster=trips`. What a proxy puts before it does not count. */
  readonly target: string
  readonly body: Uint8Array | string
}

/** HMAC-SHA-256 over `<seconds>.<METHOD>.<target>.<body>`, in the header's form. */
export function signRequest(secret: string, seconds: number, { method, target, body }: SignedRequest): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${method}.${target}.`).update(body).digest('hex')
  return `t=${seconds},v1=${mac}`
}

/** The headers that show who asks. */
export function credentialHeaders(
  credentials: ServiceCredentials,
  seconds: number,
  request: SignedRequest,
): Record<string, string> {
  if (credentials === 'none') return {}
  if ('token' in credentials) return { authorization: `Bearer ${credentials.token}` }
  return { [SIGNATURE_HEADER]: signRequest(credentials.secret, seconds, request) }
}

/**
 * Whether a request comes from somebody who has the credentials.
 *
 * @param header looks up a header by its lower-case name
 * @returns undefined when it does; otherwise what is wrong, in words that give nothing away
 */
export function checkCredentials(
  credentials: ServiceCredentials,
  seconds: number,
  request: SignedRequest,
  header: (name: string) => string | undefined,
): string | undefined {
  if (credentials === 'none') return undefined
  if ('token' in credentials) {
    const given = header('authorization') ?? ''
    return isSame(given, `Bearer ${credentials.token}`) ? undefined : 'the bearer token is missing or wrong'
  }
  const given = header(SIGNATURE_HEADER) ?? ''
  const signedSeconds = Number(/^t=(\d{1,12}),v1=[0-9a-f]{64}$/.exec(given)?.[1])
  if (Number.isNaN(signedSeconds)) return `the ${SIGNATURE_HEADER} header is missing or has another form`
  if (!isSame(given, signRequest(credentials.secret, signedSeconds, request))) return 'the signature is wrong'
  if (Math.abs(seconds - signedSeconds) <= SIGNATURE_SECONDS_MAX) return undefined
  return `the signature is ${Math.round(Math.abs(seconds - signedSeconds))} s off; set the clocks of both sides right`
}

/** In a time that tells nothing about where they differ, nor about their lengths. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}
