export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
export { ASSERTION_TYPE, IDENTITY_HEADERS } from './identity.ts'
export { parseRoute, type RouteMap, type RouteRequirement } from './routes.ts'
