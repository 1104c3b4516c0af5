export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
export { ASSERTION_TYPE, IDENTITY_HEADERS } from './identity.ts'
export { compileRoutes, parseRoute, type Requirement, type RouteMap, type TokenRequirement } from './routes.ts'
