"""Places, from countries to towers: what can be asked about them, and which they are.

See `_animals`. Facts are of the kind that does not change with next year's news.
"""

ATTRIBUTES = """
country | Is it a country? | countries; nation; state
city | Is it a city? | cities; town; metropolis; urban
landmark | Is it a building or a monument? | building; monument; landmark; structure; built by people; manmade; man made; buildings; built by humans; built
natural | Is it a natural feature? | natural; nature; natural feature; natural place; natural wonder; geographical feature
capital | Is it a capital city? | capital; capitals; capital country; capital city
africa | Is it in Africa? | africa; african
asia | Is it in Asia? | asia; asian
europe | Is it in Europe? | europe; european
northamerica | Is it in North America? | north america; north american
southamerica | Is it in South America? | south america; south american
oceania | Is it in Australia or the Pacific? | australia; oceania; pacific; australian
america | Is it in the Americas? | america; americas; american
usa | Is it in the United States? | united states; usa; us
uk | Is it in the United Kingdom? | united kingdom; uk; britain; england; great britain; british
france | Is it in France? | france
italy | Is it in Italy? | italy; italian
china | Is it in China? | china; chinese
india | Is it in India? | india; indian
egypt | Is it in Egypt? | egypt; egyptian
mountain | Is it a mountain? | mountains; peak; mountain range; mountainous; hill
river | Is it a river? | rivers; stream; flows
lake | Is it a lake? | lakes
ocean | Is it a sea or an ocean? | ocean; sea; oceans; body of water; seas
water | Is it made of water? | water; filled water; wet
desert | Is it a desert? | deserts; dry; sand; sandy
volcano | Is it a volcano? | volcanic; volcanoes; erupt; erupts; eruption
waterfall | Is it a waterfall? | waterfalls; falls
forest | Is it a forest? | forests; jungle; rainforest
island | Is it an island? | islands; island nation; surrounded by water; archipelago
coast | Is it on the coast? | coast; coastal; by sea coast; seaside; beach; beaches; coastline; borders sea; near sea; near ocean; port
landlocked | Is it a landlocked country? | landlocked; land locked
southern | Is it south of the equator? | southern hemisphere; equator; south of equator; south equator
hot | Is it hot there for most of the year? | hot; warm; warm climate; hot climate; tropical; warm weather; hot weather
cold | Is it cold there for most of the year? | cold; cold climate; cold weather; snow; freezing; icy; ice
ancient | Is it more than a thousand years old? | ancient; very old; more than thousand years old; ancient times; antiquity; old
medieval | Was it built between the years 1000 and 1800? | medieval; middle ages; built between years; centuries old
modern | Was it built after 1800? | modern; built after; recent; industrial age
tower | Is it a tower? | towers; tall; skyscraper; high rise
bridge | Is it a bridge? | bridges
religious | Is it a religious building? | religious; church; temple; mosque; cathedral; worship; religion
palace | Is it a palace or a castle? | palace; castle; royal; palaces; fortress
tomb | Is it a tomb? | tomb; grave; burial; tombs; buried; mausoleum
statue | Is it a statue? | statues; sculpture; carved; figure; sculptures
museum | Is it a museum? | museums; paintings; art
ruins | Is it in ruins? | ruins; ruin; ruined; archaeological; archaeological site; excavated
entertainment | Are shows or games held there? | entertainment; shows; games; stadium; theatre; opera; concerts; arena
record | Is it the largest, highest or longest of its kind? | largest; highest; longest; biggest; tallest; deepest; record; world record; world largest
stone | Is it made of stone? | stone; brick; rock; marble; stones
metal | Is it made of metal? | metal; iron; steel
monarchy | Is it a monarchy? | kingdom; king; queen; monarch
english | Is English an official or the main language there? | english; english speaking; speak english
spanish | Is Spanish the main language there? | spanish; spanish speaking; speak spanish
french | Is French an official language there? | french; speak french; french speaking
arabic | Is Arabic the main language there? | arabic; arab; speak arabic; arabic speaking; arab world
portuguese | Is Portuguese the main language there? | portuguese; speak portuguese
german | Is German an official language there? | german; speak german; german speaking
eu | Is it in the European Union? | eu; european union
hundred | Do more than a hundred million people live there? | hundred million people; 100 million people; 100 million; hundred million; large population; populous
olympics | Has it hosted the Summer Olympics? | olympics; olympic games; summer olympics
canals | Is it known for its canals? | canal; canals
casinos | Is it known for its casinos? | casino; gambling; casinos
pyramids | Are there famous pyramids there? | pyramid; pyramids
fashion | Is it known for fashion? | fashionable
cars | Is it known for making cars? | cars; car industry; automobiles
coffee | Is it known for growing coffee? | coffee
pasta | Is it known for pasta and pizza? | pasta; pizza
sushi | Is it known for sushi? | sushi
incas | Was it home to the Incas? | inca; incas; inca empire
tango | Is it known for the tango? | tango
kangaroos | Do kangaroos live there? | kangaroos; kangaroo
elephants | Do elephants live there in the wild? | elephants; elephant
bears | Do polar bears live there? | polar bears; polar bear
soviet | Did it belong to the Soviet Union? | soviet union; soviet; ussr
scandinavia | Is it a Nordic country? | nordic; scandinavia; scandinavian
vampires | Is it known for vampire legends? | vampires; vampire; vampire legends; dracula
oil | Is it known for producing oil? | oil; oil producer; petroleum; oil production
middleeast | Is it in the Middle East? | middle east; middle eastern
caribbean | Is it in the Caribbean? | caribbean
"""

IMPLIED = """
usa: northamerica english
uk: europe english ~monarchy
france: europe french ~eu
italy: europe ~eu
china: asia
india: asia ~english
egypt: africa arabic ~middleeast
northamerica: america
southamerica: america
capital: city
mountain: natural stone cold
river: natural water
lake: natural water
ocean: natural water
desert: natural
volcano: mountain -cold
waterfall: natural water
forest: natural
tower: landmark
bridge: landmark
palace: landmark
museum: landmark
statue: landmark
tomb: landmark
religious: landmark
eu: europe
scandinavia: europe cold
"""

ENTITIES = """
france | 7 | country europe eu coast french olympics fashion cars
germany | 7 | country europe eu coast german olympics cars
italy | 7 | country europe eu coast olympics fashion pasta ~hot cars
spain | 7 | country europe eu coast spanish monarchy olympics ~hot cars
portugal | 7 | country europe eu coast portuguese ~hot
greece | 7 | country europe eu coast olympics ~hot ruins ancient
switzerland | 7 | country europe landlocked german french ~cold
austria | 7 | country europe eu landlocked german
netherlands; holland | 7 | country europe eu coast monarchy canals olympics
belgium | 7 | country europe eu coast monarchy french german olympics
denmark | 7 | country scandinavia eu coast monarchy
sweden | 7 | country scandinavia eu coast monarchy olympics cars
norway | 7 | country oil scandinavia coast monarchy ~bears
finland | 7 | country scandinavia eu coast olympics
iceland | 7 | country scandinavia island coast
ireland | 7 | country europe eu island coast english
united kingdom; britain; great britain; england | 7 | country europe island coast english monarchy olympics cars uk
poland | 7 | country europe eu coast
hungary | 7 | country europe eu landlocked
czech republic; czechia | 7 | country europe eu landlocked cars
romania | 7 | country europe eu coast vampires
russia | 7 | country oil europe asia coast cold hundred olympics bears soviet record
ukraine | 7 | country europe coast soviet
turkey | 7 | country asia ~europe coast middleeast
israel | 7 | country asia coast middleeast hot
saudi arabia | 7 | country oil asia coast middleeast hot arabic monarchy
iran; persia | 7 | country oil asia coast middleeast hot
egypt | 7 | country africa ~asia coast hot arabic hundred pyramids ~middleeast egypt
morocco | 7 | country africa coast hot arabic monarchy
nigeria | 7 | country oil africa coast hot english hundred ~elephants
kenya | 7 | country africa coast hot english elephants coffee ~southern
ethiopia | 7 | country africa landlocked hot hundred coffee elephants
south africa | 7 | country africa coast english southern elephants ~hot
madagascar | 7 | country africa coast island southern hot french
india | 7 | country asia coast hot hundred elephants ~english india
china | 7 | country asia coast hundred olympics china cars ~elephants
japan | 7 | country asia coast island hundred olympics sushi cars ~monarchy
south korea | 7 | country asia coast olympics cars
north korea | 7 | country asia coast
mongolia | 7 | country asia landlocked cold
nepal | 7 | country asia landlocked elephants
thailand | 7 | country asia coast hot monarchy elephants
vietnam | 7 | country asia coast hot coffee ~hundred ~elephants
indonesia | 7 | country asia coast hot island hundred ~southern elephants coffee
philippines; the philippines | 7 | country asia coast hot island hundred english
singapore | 6.7 | country capital asia coast hot island english
australia | 7 | country oceania coast ~island english southern hot olympics kangaroos ~monarchy
new zealand | 7 | country oceania coast island english southern ~monarchy
united states; usa; america; united states of america | 7 | country ~oil northamerica coast english hundred olympics cars usa ~bears
canada | 7 | country ~oil northamerica coast english french cold olympics bears ~monarchy
mexico | 7 | country ~oil northamerica coast spanish hot hundred olympics pyramids cars coffee
cuba | 7 | country northamerica caribbean coast island spanish hot
jamaica | 7 | country northamerica caribbean coast island english hot ~monarchy coffee
brazil | 7 | country southamerica coast portuguese hot hundred southern olympics coffee
argentina | 7 | country southamerica coast spanish southern tango
chile | 7 | country ~incas southamerica coast spanish southern
peru | 7 | country incas southamerica coast spanish southern hot coffee
colombia | 7 | country southamerica coast spanish hot coffee ~southern
bolivia | 7 | country incas southamerica landlocked spanish southern
greenland | 7 | island coast cold northamerica bears natural record
paris | 6.7 | capital europe france eu olympics fashion
london | 6.7 | capital europe uk english olympics monarchy fashion
berlin | 6.7 | capital europe german eu olympics
rome | 6.7 | capital europe italy eu olympics ancient pasta ~hot
madrid | 6.7 | capital europe eu spanish ~hot
athens | 6.7 | capital europe eu olympics ancient ~hot coast
vienna | 6.7 | capital europe eu german
amsterdam | 6.7 | capital europe eu canals olympics
venice | 6.7 | city europe italy eu canals coast
milan | 6.7 | city europe italy eu fashion
barcelona | 6.7 | city europe eu spanish coast olympics ~hot
istanbul; constantinople | 6.7 | city asia europe coast ancient
moscow | 6.7 | capital europe cold olympics soviet
cairo | 6.7 | capital africa egypt hot arabic pyramids
jerusalem | 6.7 | capital asia middleeast hot ancient ~religious
dubai | 6.7 | city ~oil asia middleeast hot coast arabic
tokyo | 6.7 | capital asia coast olympics sushi
beijing; peking | 6.7 | capital asia china olympics
hong kong | 6.7 | city asia china coast hot english
mumbai; bombay | 6.7 | city asia india coast hot
sydney | 6.7 | city oceania coast english southern olympics
new york; new york city; nyc | 6.7 | city usa coast fashion
los angeles; la | 6.7 | city usa coast olympics hot
las vegas; vegas | 6.7 | city usa casinos hot
washington; washington dc | 6.7 | capital usa
chicago | 6.7 | city usa
rio de janeiro; rio | 6.7 | city southamerica coast portuguese southern hot olympics
buenos aires | 6.7 | capital southamerica coast spanish southern tango
mexico city | 6.7 | capital northamerica spanish olympics pyramids
havana | 6.7 | capital northamerica caribbean spanish coast hot
cape town | 6.7 | city africa coast english southern
mount everest; everest | 7 | mountain asia record
mont blanc | 7 | mountain europe france italy
matterhorn | 7 | mountain europe german italy
kilimanjaro; mount kilimanjaro | 7 | volcano mountain africa southern record
mount fuji; fuji | 7 | volcano mountain asia
vesuvius; mount vesuvius | 7 | volcano mountain europe italy coast
alps; the alps | 7 | mountain europe france italy german
himalayas; himalaya | 7 | mountain asia india china record
andes; the andes | 7 | mountain incas southamerica southern record spanish
nile; river nile; the nile | 7 | river africa egypt record hot
amazon; amazon river | 7 | river southamerica record hot southern portuguese
mississippi; mississippi river | 7 | river usa
danube; river danube | 7 | river europe german
thames; river thames | 7 | river europe uk
ganges; river ganges | 7 | river asia india hot
sahara; sahara desert | 7 | desert africa hot record arabic egypt
gobi; gobi desert | 7 | desert asia china cold
pacific ocean; pacific | 7 | ocean record oceania asia america ~southern
atlantic ocean; atlantic | 7 | ocean europe africa america ~southern
mediterranean sea; mediterranean | 7 | ocean europe africa asia hot
dead sea | 7 | lake asia middleeast hot
loch ness | 7 | lake europe uk
lake victoria | 7 | lake africa ~southern hot
niagara falls; niagara | 6.5 | waterfall northamerica usa english
victoria falls | 6.5 | waterfall africa southern hot
grand canyon | 7 | natural usa stone hot
great barrier reef | 7 | natural oceania southern coast record hot
antarctica | 7 | natural cold coast southern record
north pole | 7 | natural cold bears
amazon rainforest | 7 | forest southamerica hot record portuguese southern
eiffel tower | 6.3 | tower europe france modern metal
leaning tower of pisa; tower of pisa | 6.1 | tower europe italy medieval stone religious
big ben | 6.1 | tower europe uk modern stone
empire state building | 6.4 | tower usa modern
burj khalifa | 6.5 | tower asia middleeast modern record hot
statue of liberty | 6.1 | statue usa modern metal coast
christ the redeemer | 6 | statue southamerica modern stone religious southern portuguese
mount rushmore | 6.4 | statue usa modern stone ~mountain
great sphinx; sphinx | 6 | statue africa egypt ancient stone hot
pyramids of giza; great pyramid; pyramids | 6.4 | tomb africa egypt ancient stone hot pyramids
taj mahal | 6.2 | tomb asia india medieval stone hot
colosseum; coliseum | 6.2 | landmark europe italy ancient stone ruins entertainment record
acropolis; parthenon | 6.2 | landmark europe ancient stone ruins religious
stonehenge | 6 | landmark europe uk ancient stone ruins
pompeii | 6.5 | landmark europe italy ancient stone ruins ~city
machu picchu | 6.5 | landmark incas southamerica medieval stone ruins southern ~mountain spanish
petra | 6.5 | landmark asia middleeast ancient stone ruins tomb hot
angkor wat | 6.4 | landmark asia religious stone hot medieval record
great wall of china; great wall | 7 | landmark asia china ~ancient ~medieval stone record
forbidden city | 6.5 | palace asia china medieval museum
versailles; palace of versailles | 6.4 | palace europe france medieval museum
buckingham palace | 6.3 | palace europe uk medieval monarchy
neuschwanstein; neuschwanstein castle | 6.2 | palace europe german modern stone
kremlin; the kremlin | 6.5 | palace europe medieval soviet
alhambra | 6.4 | palace europe spanish medieval ~hot
louvre; the louvre | 6.3 | museum palace europe france medieval pyramids
notre dame; notre dame cathedral | 6.2 | religious europe france medieval stone
sagrada familia | 6.3 | religious europe spanish modern stone
hagia sophia | 6.2 | religious europe ancient stone museum
sistine chapel | 6 | religious europe medieval museum
sydney opera house | 6.2 | landmark oceania modern entertainment coast southern english
golden gate bridge | 6.4 | bridge usa modern metal coast
brooklyn bridge | 6.4 | bridge usa modern stone metal coast
tower bridge | 6.2 | bridge tower europe uk modern stone
white house | 6.1 | palace usa medieval
disneyland | 6.5 | landmark usa modern entertainment
hollywood | 6.6 | ~city usa modern hot entertainment
"""
