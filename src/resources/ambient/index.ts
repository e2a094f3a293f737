/** Plain calls of a resource that run in the transaction around them. */
export {
  type AmbientTransaction,
  ambience,
  ambientTransaction,
  calledWithin,
  detached,
  outside,
  within,
} from './context.ts'
