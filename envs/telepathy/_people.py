"""Professions: what can be asked about them, and which they are. See `_animals`."""

ATTRIBUTES = """
medical | Is it a medical profession? | medical; medicine; health care; healthcare; health; patients; hospital; hospitals
uniform | Do they wear a uniform? | uniform; uniforms; special clothes
outdoors | Do they mostly work outdoors? | outdoors; outside; open air; fresh air
office | Do they mostly work in an office? | office; desk; offices
manual | Do they mostly work with their hands? | hands; manual; manual labour; manual labor; physical work; physical
arts | Is it an artistic profession? | artistic; art; arts; creative; artist; creativity
stage | Do they perform for an audience? | perform; audience; performs; performer; stage; entertainer; entertain; entertainment; show
music | Is it about music? | music; musical; musician; instruments
degree | Do they need a university degree? | degree; university; university degree; college; college degree; higher education; long studies
drives | Do they drive or steer a vehicle? | drive; drives; vehicle; steer; vehicles; driver
food | Is it about food? | food; cooking; cook; meals; eating
animals | Do they work with animals? | animals; animal
children | Do they work with children? | children; kids; teach; teaching; pupils; students; education; school; schools
danger | Is the work dangerous? | dangerous; danger; risky; risk life; risk
night | Do they often work at night? | night; nights; at night; shifts
law | Is it about the law? | law; legal; justice; crime; court; criminals; laws
science | Is it a science? | science; scientific; scientist; research; scientists; laboratory; lab
money | Is it mainly about money? | money; finance; financial; bank; accounts
sells | Do they sell things? | sell; sells; sales; shop; store; selling
sport | Is it about sport? | sport; sports; athletic; athlete
words | Is it about writing or language? | writing; language; write; writes; text; words; writer; languages; books
computers | Do they work mostly at a computer? | computer; computers; software; computing; technology; tech
military | Is it a military profession? | military; army; armed forces; soldiers; war
beauty | Is it about how people look? | beauty; looks; appearance; hair; fashion; style; how people look
building | Do they work on buildings? | buildings; construction; build; builds; houses; building; house; building site
sea | Do they work on or in the water? | sea; water; ship; boats; ships; boat; ocean
air | Do they work in the air? | air; plane; planes; aircraft; fly; flies; flying; airplane; sky
plants | Do they work with plants? | plants; plant; crops; garden; gardens; flowers; trees
religion | Is it a religious profession? | religious; religion; church; god; faith; spiritual
machines | Do they work with machines or engines? | machines; engines; machine; mechanical; engine; repair; repairs; fix; fixes; fixes things
cares | Do they care for people? | care; caring; cares; help people; helps people; look after people; care people
saves | Do they save lives? | save lives; saves lives; rescue; rescues; emergencies; emergency; lives saved
helmet | Do they often wear a helmet? | helmet; helmets; hard hat
white | Do they traditionally wear white? | white; wear white; white coat; wears white
public | Do they usually work for the state? | state; government; public sector; public service; public servant; civil servant; public
numbers | Do they calculate a lot? | calculate; numbers; maths; math; mathematics; calculations; calculates
cloth | Do they work with cloth or clothes? | cloth; clothes; clothing; fabric; textiles; garments; fabrics
metal | Do they work with metal? | metal; metals; iron; steel
wood | Do they work with wood? | wood; timber; wooden
customers | Do they deal with customers all day? | customers; clients; guests; customer; customer service; service
travels | Do they travel a lot? | travel; travels; travelling; traveling; trips
weapon | Do they carry a weapon? | weapon; gun; weapons; guns; armed; carries weapon
camera | Do they use a camera? | camera; cameras; photos; pictures; photographs
draws | Do they draw or paint? | draw; paint; draws; paints; drawing; painting; drawings
sharp | Do they use sharp blades? | sharp; knife; blades; knives; scissors; cut; cuts; blade; sharp tools
teeth | Is it about the mouth? | teeth; mouth; tooth; dental
historical | Is it mostly a profession of the past? | past; historical; old profession; history; ancient; medieval; obsolete
elected | Are they elected? | elected; election; politics; political; votes; voted
famous | Do some of them become very famous? | famous; celebrities; celebrity; fame; well known; rich famous
makes | Do they make things? | make things; makes things; produce; produces; make; makes; creates; create; product
heat | Do they work with fire or great heat? | fire; heat; great heat; hot; flames
investigates | Do they look for clues or evidence? | clues; evidence; investigate; investigates; solve; investigation; solves cases; mysteries
"""

IMPLIED = """
stage: customers famous arts
music: arts
saves: cares
medical: cares
"""

ENTITIES = """
doctor; physician | 0 | medical degree saves white ~night ~public ~customers
nurse | 0 | medical saves white uniform night ~degree ~public
surgeon | 0 | medical degree saves sharp manual uniform ~night ~white
dentist | 0 | medical degree teeth white customers
pharmacist | 0 | medical degree sells white customers
paramedic; ambulance driver | 0 | medical saves uniform drives night ~outdoors
psychologist; therapist; psychiatrist | 0 | medical degree customers office
midwife | 0 | medical children night uniform ~degree
optician | 0 | medical sells customers
veterinarian; vet; veterinary | 0 | medical -cares degree animals white customers
teacher; schoolteacher | 0 | children degree public
professor; lecturer | 0 | children degree science public office ~words
kindergarten teacher; nanny; babysitter; childminder | 0 | children cares
librarian | 0 | words customers public office
police officer; policeman; policewoman; cop | 0 | law uniform public weapon danger night drives saves ~outdoors ~investigates
detective; private investigator | 0 | law investigates ~public ~weapon night ~danger
judge | 0 | law degree public office uniform
lawyer; attorney; solicitor; barrister | 0 | law degree office customers
prison guard; jailer | 0 | law uniform public night danger
security guard; bodyguard | 0 | uniform night ~weapon ~danger
spy; secret agent | 0 | public danger travels weapon investigates
soldier | 0 | military uniform public weapon danger helmet outdoors
general | 0 | military uniform public office famous
knight | 0 | military weapon danger helmet historical animals metal
samurai | 0 | military weapon danger historical sharp
firefighter; fireman | 0 | uniform public danger saves helmet heat night drives
lifeguard | 0 | uniform saves sea outdoors sport
sailor; seaman | 0 | sea travels uniform outdoors ~military
captain; ship captain | 0 | sea travels uniform drives
fisherman; fisher | 0 | sea food animals outdoors danger ~sells manual
diver | 0 | sea danger ~helmet manual
pirate | 0 | sea danger weapon historical travels
pilot | 0 | air travels uniform drives numbers
flight attendant; stewardess; steward | 0 | air travels uniform customers ~food
astronaut; cosmonaut | 0 | air science danger degree helmet travels uniform public famous
taxi driver; cab driver | 0 | drives customers night
bus driver | 0 | drives customers uniform public
truck driver; lorry driver; trucker | 0 | drives travels night
train driver; engine driver | 0 | drives uniform machines
racing driver; race car driver | 0 | drives sport danger helmet famous travels uniform
cyclist | 0 | sport outdoors helmet famous travels
postman; mailman; mail carrier; postal worker | 0 | uniform outdoors public drives customers
farmer | 0 | food animals plants outdoors manual machines drives sells
gardener | 0 | plants outdoors manual ~sharp
florist | 0 | plants sells customers sharp
lumberjack; woodcutter; logger | 0 | plants outdoors manual wood danger sharp machines helmet
forester; park ranger; ranger | 0 | plants animals outdoors public uniform
shepherd | 0 | animals outdoors historical
cowboy | 0 | animals outdoors historical weapon
zookeeper | 0 | animals outdoors uniform ~danger
jockey | 0 | animals sport danger helmet outdoors uniform
hunter | 0 | animals outdoors weapon food ~danger
butcher | 0 | food sells customers sharp manual animals makes
baker | 0 | food sells customers manual night white makes heat
chef; cook | 0 | food manual makes sharp heat white uniform ~famous
waiter; waitress; server | 0 | food customers uniform night
bartender; barkeeper; barman | 0 | food customers night sells
carpenter; joiner | 0 | building wood manual makes sharp
bricklayer; mason; builder | 0 | building manual outdoors helmet makes
electrician | 0 | building manual machines danger
plumber | 0 | building manual machines metal
roofer | 0 | building manual outdoors danger helmet
house painter; decorator | 0 | building manual draws
architect | 0 | building degree draws numbers office computers ~arts
civil engineer; engineer | 0 | building degree numbers computers machines ~office science
crane operator | 0 | building machines outdoors helmet drives
real estate agent; estate agent; realtor | 0 | building sells customers money office
miner; coal miner | 0 | manual danger helmet machines uniform metal
welder | 0 | metal manual heat makes helmet danger machines
blacksmith; smith | 0 | metal manual heat makes historical
goldsmith; jeweler; jeweller | 0 | metal manual makes sells arts customers
watchmaker | 0 | metal manual makes machines sells
mechanic; car mechanic | 0 | machines manual metal customers
locksmith | 0 | metal manual customers machines building
potter | 0 | manual makes arts heat sells
tailor; seamstress; dressmaker | 0 | cloth manual makes sharp customers sells
fashion designer | 0 | cloth arts draws beauty makes famous
fashion model; model; supermodel | 0 | cloth beauty famous stage travels camera
shoemaker; cobbler | 0 | manual makes sells customers historical sharp
hairdresser; barber; hairstylist | 0 | beauty manual sharp customers
makeup artist; beautician; cosmetician | 0 | beauty manual arts customers draws
tattoo artist; tattooist | 0 | beauty manual arts customers draws sharp
actor; actress | 0 | stage camera travels words
singer | 0 | stage music travels
conductor; orchestra conductor | 0 | stage music degree manual
pianist | 0 | stage music manual degree travels
composer | 0 | music famous makes
dancer; ballerina | 0 | stage sport music
clown | 0 | stage children
comedian | 0 | stage words night
magician; illusionist | 0 | stage manual
acrobat | 0 | stage sport danger travels
film director; director | 0 | arts camera famous travels
photographer | 0 | arts camera travels customers
painter | 0 | arts draws manual makes famous
sculptor | 0 | arts manual makes sharp famous
writer; author; novelist | 0 | arts words famous computers makes
poet | 0 | arts words famous historical
journalist; reporter | 0 | words travels investigates computers camera ~famous
translator; interpreter | 0 | words degree computers office
politician | 0 | elected public office famous travels words
president | 0 | elected public office famous travels law
mayor | 0 | elected public office
king; queen; monarch | 0 | public famous historical
diplomat; ambassador | 0 | public office travels degree words
priest; pastor; minister | 0 | religion uniform cares
monk; nun | 0 | religion uniform historical
accountant; bookkeeper | 0 | money numbers office computers degree
banker; bank clerk | 0 | money numbers office customers
cashier | 0 | money sells customers uniform
salesperson; salesman; shop assistant; saleswoman | 0 | sells customers
secretary; receptionist | 0 | office computers words
programmer; software developer; software engineer; coder | 0 | computers office numbers makes words
graphic designer; web designer | 0 | computers office arts draws makes
mathematician | 0 | science numbers degree
physicist | 0 | science numbers degree machines
chemist | 0 | science degree white makes
biologist | 0 | science degree animals plants
astronomer | 0 | science numbers degree night
archaeologist; archeologist | 0 | science degree outdoors travels manual investigates
geologist | 0 | science degree outdoors travels
historian | 0 | science degree words investigates
meteorologist; weather forecaster | 0 | science degree computers numbers camera
footballer; soccer player; football player | 0 | sport famous outdoors uniform travels
tennis player | 0 | sport famous outdoors travels white
boxer | 0 | sport famous danger manual
sports coach; coach; trainer; personal trainer | 0 | sport cares
referee; umpire | 0 | sport uniform law
cleaner; janitor; housekeeper | 0 | manual building night
window cleaner | 0 | manual building outdoors danger
garbage collector; dustman; bin man; garbage man | 0 | manual outdoors uniform public drives
chimney sweep | 0 | manual building outdoors historical uniform
tour guide; guide | 0 | customers travels outdoors words
hotel manager; hotelier | 0 | customers office money
undertaker; funeral director | 0 | customers drives religion
"""
