/** The HTTP contract: what coordinators and services say to each other, as schemas from which OpenAPI is generated. */
export {
  checkCredentials,
  credentialHeaders,
  type ServiceCredentials,
  SIGNATURE_HEADER,
  type SignedRequest,
  signRequest,
} from './credentials.ts'
export { serviceOpenApi } from './openapi.ts'
export * from './service-protocol.ts'
