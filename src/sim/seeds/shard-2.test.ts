import { testShard } from './shard.support.ts'

testShard(2)
