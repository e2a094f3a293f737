/** The part of a logger (for example pino) that a server uses. */
export interface ServerLogger {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}
