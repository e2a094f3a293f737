import { TlsFailedError } from './errors.ts'

/** What Node and OpenSSL say, and what it means to whoever must repair it. */
const MEANINGS: Readonly<Record<string, string>> = {
  ERR_SSL_WRONG_VERSION_NUMBER: 'the other side does not speak TLS on this port; use TLS on both sides or on neither',
  ERR_SSL_HTTP_REQUEST: 'a plain HTTP request came to the TLS port',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'the other side does not speak TLS on this port; use TLS on both sides or on neither',
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    'the dialer sent no certificate; give it `key` and `cert` signed by our `ca`',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'the listener wants a client certificate; give `key` and `cert`',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'the other side does not trust our certificate; its `ca` must have signed it',
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS: 'no signature algorithm in common',
  ERR_SSL_UNSUPPORTED_PROTOCOL: 'the other side does not speak TLS 1.3',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another host; dial the name in it, or set `serverName`',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'the TLS handshake was not finished in time',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed; name its authority as `ca`',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate comes from an authority that is not trusted; name it as `ca`',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate comes from an authority that is not trusted; name it as `ca`',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the certificate comes from an authority that is not trusted; name it as `ca`',
  CERT_SIGNATURE_FAILURE: 'the certificate was not signed by the `ca` given here',
  CERT_HAS_EXPIRED: 'the certificate has expired; renew it',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet; are the clocks right?',
}

/** `error` as a TlsFailedError when it came from TLS, else undefined. */
export function asTlsFailure(error: Error, side: 'listen' | 'dial'): TlsFailedError | undefined {
  const { code } = error as NodeJS.ErrnoException
  const meaning = code === undefined ? undefined : MEANINGS[code]
  const fromTls =
    meaning !== undefined || code?.startsWith('ERR_SSL_') === true || code?.startsWith('ERR_TLS_') === true
  if (fromTls) return new TlsFailedError(`TLS failed: ${meaning ?? error.message} (${code})`, { cause: error })
  if (side === 'dial' || code !== 'ECONNRESET') return undefined
  // A dialer that gives up amid the handshake shows as a plain reset.
  return new TlsFailedError('TLS failed: the dialer went away amid the handshake; it may not trust our certificate', {
    cause: error,
  })
}
